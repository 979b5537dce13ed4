//! The files of a directory, as the options say.

use std::io;
use std::path::Path;

use vestibule::files::{HandOver, HeaderRules, RedirectRules, RuleFaults, StaticFiles, Symlinks};
use vestibule::http::{HeaderValue, StatusCode};

use crate::args::{Files, Serve};

/// The files alone.
pub(crate) fn files(serve: &Serve) -> io::Result<StaticFiles> {
    let directory = &serve.directory;
    let files = StaticFiles::try_new(directory).map_err(|error| {
        let text = format!("cannot serve `{}`: {error}", directory.display());
        io::Error::new(error.kind(), text)
    })?;
    let options = &serve.files;
    let pages = [("--spa", &options.spa), ("--not-found", &options.not_found)];
    let pages = pages
        .into_iter()
        .filter_map(|(flag, page)| Some((flag, page.as_ref()?)));
    let error_pages = options.error_page.iter();
    for (flag, page) in pages.chain(error_pages.map(|(_, page)| ("--error-page", page))) {
        // It may still come: what is built anew is gone for a while.
        if !directory.join(page).is_file() {
            eprintln!(
                "vestibule: {flag}: there is no `{page}` in `{}` yet",
                directory.display()
            );
        }
    }
    let files = configured(files, options)?;
    match options.site_files {
        true => with_site_files(files, directory),
        false => Ok(files),
    }
}

/// The files with the rules of their own `_headers` and `_redirects`, which are hidden.
fn with_site_files(mut files: StaticFiles, directory: &Path) -> io::Result<StaticFiles> {
    let mut is_there = false;
    if let Some(rules) = rules(&directory.join("_headers"), HeaderRules::parse)? {
        files = files.header_rules(rules);
        is_there = true;
    }
    if let Some(rules) = rules(&directory.join("_redirects"), RedirectRules::parse)? {
        files = files.redirect_rules(rules);
        is_there = true;
    }
    if !is_there {
        let text = format!(
            "--site-files: there is neither `_headers` nor `_redirects` in `{}`: write one, or leave the option out",
            directory.display()
        );
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    Ok(files.hide("/{_headers,_redirects}{,.br,.zst,.gz}"))
}

/// Reads a file of rules; `None` when there is no such file.
fn rules<T>(path: &Path, parse: fn(&str) -> Result<T, RuleFaults>) -> io::Result<Option<T>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let text = format!("--site-files: cannot read `{}`: {error}", path.display());
            return Err(io::Error::new(error.kind(), text));
        }
        Ok(text) => text,
    };
    let rules = parse(&text).map_err(|faults| {
        let text = format!("--site-files: `{}`:\n{faults}", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    Ok(Some(rules))
}

/// The files as the options say.
fn configured(files: StaticFiles, options: &Files) -> io::Result<StaticFiles> {
    let mut files = files
        .index(options.index.clone())
        .listing(!options.no_listing)
        .dotfiles(options.dotfiles)
        .symlinks(match &*options.symlinks {
            "deny" => Symlinks::Deny,
            "follow" => Symlinks::Follow,
            _ => Symlinks::Beneath,
        })
        .clean_urls(options.clean_urls)
        .precompressed(options.precompressed)
        .hashed_names(options.hashed_names)
        .nearest_not_found(options.nearest_not_found)
        .readme(!options.no_readme)
        .archives(options.archives);
    if let Some(page) = &options.spa {
        files = files.spa(page.clone());
    }
    if let Some(page) = &options.not_found {
        files = files.not_found(page.clone());
    }
    for (status, page) in &options.error_page {
        let status = StatusCode::from_u16(*status).map_err(io::Error::other)?;
        files = files.error_page(status, page.clone());
    }
    for pattern in &options.hide {
        files = files.hide(pattern);
    }
    for (glob, value) in &options.cache_control {
        files = files.cache_control(glob, header_value("--cache-control", value)?);
    }
    for (glob, header) in &options.header {
        let (name, value) = header_line(header)?;
        files = files.header(glob, name, value);
    }
    if let Some(prefix) = &options.x_accel_redirect {
        files = files.hand_over(HandOver::XAccelRedirect(prefix.clone().into()));
    }
    if options.x_sendfile {
        files = files.hand_over(HandOver::XSendfile);
    }
    for (glob, media_type) in &options.media_type {
        files = files.media_type(glob, header_value("--type", media_type)?);
    }
    for glob in &options.encoded {
        files = files.stored_encoded(glob);
    }
    Ok(files)
}

/// `name: value`, in two, if it may be said of files.
fn header_line(line: &str) -> io::Result<(&str, HeaderValue)> {
    let Some((name, value)) = line.split_once(':') else {
        let text = format!("--header: {line:?} is no header, as in 'referrer-policy: same-origin'");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    };
    if !StaticFiles::takes_header(name) {
        let text = format!("--header: {name:?} is no header that may be set on files");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok((name, header_value("--header", value.trim())?))
}

fn header_value(flag: &str, value: &str) -> io::Result<HeaderValue> {
    let error = |_| {
        let text = format!("{flag}: {value:?} cannot stand in a header");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    HeaderValue::from_str(value).map_err(error)
}
