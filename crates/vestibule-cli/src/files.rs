//! The files of a directory, or one file, as the options say.

use std::io;

use vestibule::files::{HandOver, Source, StaticFiles, Symlinks};
use vestibule::http::HeaderValue;
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
        return one_file(serve).map(SiteFiles::File).map_err(explained);
    }
    if !metadata.is_dir() {
        let text = "it is neither a directory nor a regular file";
        return Err(explained(io::Error::new(io::ErrorKind::InvalidInput, text)));
    }
    let files = StaticFiles::try_new(directory).map_err(explained)?;
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
    let options = &serve.files;
    let mut files = configured(files, options)?
        .listing(!options.no_listing)
        .dotfiles(options.dotfiles)
        .symlinks(symlinks(options));
    if !options.index.is_empty() {
        files = files.index(options.index.clone());
    }
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
