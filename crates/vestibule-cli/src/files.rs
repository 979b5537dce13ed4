//! The files of a directory, or one file, as the options say.

use std::io;
use std::path::Path;

use vestibule::files::{
    HandOver, HeaderRules, RedirectRules, RuleFaults, Source, StaticFiles, Symlinks,
};
use vestibule::http::{HeaderValue, StatusCode};
use vestibule::{App, BoxApp};

use crate::args::{Files, Serve};
use crate::one_file::OneFile;

/// The files of the argument: a directory, or one file.
#[derive(Clone)]
pub(crate) enum SiteFiles {
    Directory(StaticFiles),
    File(StaticFiles<OneFile>),
}

impl SiteFiles {
    pub(crate) fn boxed(self) -> BoxApp {
        match self {
            Self::Directory(files) => files.boxed(),
            Self::File(files) => files.boxed(),
        }
    }
}

/// The files alone, as the options say.
pub(crate) fn files(serve: &Serve) -> io::Result<SiteFiles> {
    let directory = &serve.directory;
    let explained = |error: io::Error| {
        let text = format!("cannot serve `{}`: {error}", directory.display());
        io::Error::new(error.kind(), text)
    };
    let metadata = directory.metadata().map_err(explained)?;
    if metadata.is_file() {
        // A file that can never be sent is told now, as a directory is.
        std::fs::File::open(directory).map_err(explained)?;
        return one_file(serve).map(SiteFiles::File).map_err(explained);
    }
    if !metadata.is_dir() {
        let text = "it is neither a directory nor a regular file";
        return Err(explained(io::Error::new(io::ErrorKind::InvalidInput, text)));
    }
    let files = StaticFiles::try_new(directory).map_err(explained)?;
    let options = &serve.files;
    let pages = [("--spa", &options.spa), ("--not-found", &options.not_found)];
    let pages = pages
        .into_iter()
        .filter_map(|(flag, page)| Some((flag, page.as_ref()?)));
    let error_pages = options.error_page.iter();
    for (flag, page) in pages.chain(error_pages.map(|(_, page)| ("--error-page", page))) {
        // It may still come: what is built anew is gone for a while.
        if !directory.join(page).is_file() {
            tracing::warn!(
                target: "vestibule", "{flag}: there is no `{page}` in `{}` yet", directory.display()
            );
        }
    }
    let mut files = configured(files, options)?
        .listing(!options.no_listing)
        .dotfiles(options.dotfiles)
        .symlinks(symlinks(options));
    if !options.index.is_empty() {
        files = files.index(options.index.clone());
    }
    let files = match options.site_files {
        true => with_site_files(files, directory)?,
        false => files,
    };
    Ok(SiteFiles::Directory(files))
}

/// One file, at `/` and at its name.
fn one_file(serve: &Serve) -> io::Result<StaticFiles<OneFile>> {
    let source = OneFile::open(&serve.directory)?.with_copies(serve.files.precompressed);
    let name = source.name().to_owned();
    // The user named the file, so that a name with a dot is not hidden.
    let files = StaticFiles::from_source(source)
        .index([name])
        .dotfiles(true);
    configured(files, &serve.files)
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

/// How links are treated.
pub(crate) fn symlinks(options: &Files) -> Symlinks {
    match options.symlinks.as_deref() {
        Some("deny") => Symlinks::Deny,
        Some("follow") => Symlinks::Follow,
        _ => Symlinks::Beneath,
    }
}

/// The files as the options say.
fn configured<S: Source>(files: StaticFiles<S>, options: &Files) -> io::Result<StaticFiles<S>> {
    let mut files = files
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
        let reason = match &*name.trim().to_ascii_lowercase() {
            "cache-control" => "use --cache-control '*.html=no-cache'",
            "content-type" => "use --type '*.txt=text/plain'",
            "content-encoding" => "use --encoded '*.gz'",
            _ => "the server sets it itself, or it is not the name of a header",
        };
        let text = format!("--header: {name:?} cannot be set: {reason}");
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
