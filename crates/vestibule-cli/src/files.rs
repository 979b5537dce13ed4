//! The files of a directory, as the options say.

use std::io;

use vestibule::files::{HandOver, StaticFiles, Symlinks};
use vestibule::http::HeaderValue;

use crate::args::{Files, Serve};

/// The files alone.
pub(crate) fn files(serve: &Serve) -> io::Result<StaticFiles> {
    let directory = &serve.directory;
    let files = StaticFiles::try_new(directory).map_err(|error| {
        let text = format!("cannot serve `{}`: {error}", directory.display());
        io::Error::new(error.kind(), text)
    })?;
    for (flag, page) in [
        ("--spa", &serve.files.spa),
        ("--not-found", &serve.files.not_found),
    ] {
        // It may still come: what is built anew is gone for a while.
        if let Some(page) = page.as_ref().filter(|page| !directory.join(page).is_file()) {
            eprintln!(
                "vestibule: {flag}: there is no `{page}` in `{}` yet",
                directory.display()
            );
        }
    }
    configured(files, &serve.files)
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
        .hashed_names(options.hashed_names);
    if let Some(page) = &options.spa {
        files = files.spa(page.clone());
    }
    if let Some(page) = &options.not_found {
        files = files.not_found(page.clone());
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
