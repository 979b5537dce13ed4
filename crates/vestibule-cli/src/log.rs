//! The log: where it goes, and its form.

use std::io;
use std::path::Path;

use vestibule::App;
use vestibule::logging::{AccessLog, Format, LogFile, Sink};

use crate::args::Watching;

/// An app whose requests are logged as the options say.
pub(crate) fn access_log<A: App>(app: A, options: &Watching, log: &Sink) -> AccessLog<A> {
    AccessLog::new(app).to(log.clone()).format(format(options))
}

/// The form of the log.
pub(crate) fn format(options: &Watching) -> Format {
    let is_terminal = file(options).is_none() && crate::wants_colour(&io::stdout());
    let format = match &options.log_format {
        Some(format) => format.clone(),
        None if is_terminal => Format::coloured(),
        None => Format::combined(),
    };
    format.zone(options.log_time.clone().unwrap_or_default())
}

/// The file of the log; `-` is standard output, as without the option.
fn file(options: &Watching) -> Option<&Path> {
    let path = options.log.as_deref()?;
    (path != Path::new("-")).then_some(path)
}

/// Where the log goes.
pub fn sink(options: &Watching) -> io::Result<Sink> {
    let Some(path) = file(options) else {
        return Ok(Sink::stdout());
    };
    let file = LogFile::open(path).map_err(|error| {
        let text = format!("cannot write the log: {error}");
        io::Error::new(error.kind(), text)
    })?;
    Ok(Sink::file(file))
}
