//! `vestibule precompress`: what `vestibule serve --precompressed` sends.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use vestibule::files::{Precompress as Work, Progress, Report};

use crate::args::Precompress;

/// Writes the sidecars, or removes them, and says what came of it.
pub(crate) fn run(options: &Precompress) -> Result<(), Box<dyn Error>> {
    let mut work = Work::new(&options.directory);
    if let Some(count) = options.threads {
        work = work.threads(count);
    }
    if let Some(bytes) = options.min_size {
        work = work.min_size(bytes);
    }
    for glob in &options.only {
        work = work.only(glob);
    }
    for glob in &options.exclude {
        work = work.exclude(glob);
    }
    if !options.codings.is_empty() {
        let has = |coding: &str| options.codings.iter().any(|it| it == coding);
        work = work.brotli(has("br")).zstd(has("zstd")).gzip(has("gzip"));
    }
    let bar = Bar::new(io::stderr().is_terminal());
    let report = match options.clean {
        true => work.clean(),
        false => work.run_with(|progress| bar.show(progress)),
    };
    let report = report.map_err(|error| {
        format!(
            "cannot look into `{}`: {error}",
            options.directory.display()
        )
    })?;
    bar.clear();
    let selects = !options.only.is_empty() || !options.exclude.is_empty();
    if report.files == 0 && selects {
        eprintln!("vestibule: no file that shrinks matches --only and --exclude");
    }
    println!("{}", summary(&report, options.clean));
    for (path, error) in &report.failed {
        eprintln!("vestibule: `{}`: {error}", path.display());
    }
    match report.failed.len() {
        0 => Ok(()),
        1 => Err("one file was left as it was".into()),
        count => Err(format!("{count} files were left as they were").into()),
    }
}

/// A line on a terminal that says how far the work is; nothing elsewhere.
struct Bar {
    is_shown: bool,
    /// When it was drawn last.
    drawn: Mutex<Option<Instant>>,
}

impl Bar {
    const fn new(is_shown: bool) -> Self {
        Self {
            is_shown,
            drawn: Mutex::new(None),
        }
    }

    fn show(&self, progress: Progress<'_>) {
        if !self.is_shown {
            return;
        }
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let is_soon = drawn.is_some_and(|then| then.elapsed() < REDRAW);
        if is_soon && progress.done < progress.files {
            return;
        }
        *drawn = Some(Instant::now());
        let name = progress.path.file_name().unwrap_or_default();
        let line = line(progress.done, progress.files, &name.to_string_lossy());
        // A terminal that is gone is no reason to stop.
        let _ = write!(io::stderr(), "\r{line}{ERASE}");
    }

    fn clear(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r{ERASE}");
        }
    }
}

/// `[####----] 5 of 10  app.js`, short enough for any terminal, and without what a name may do to one.
fn line(done: usize, files: usize, name: &str) -> String {
    let full = (done * WIDTH)
        .checked_div(files)
        .unwrap_or(WIDTH)
        .min(WIDTH);
    let shown = |c: char| if c.is_control() { '?' } else { c };
    let name: String = name.chars().map(shown).take(32).collect();
    let (full, rest) = ("#".repeat(full), "-".repeat(WIDTH - full));
    format!("[{full}{rest}] {done} of {files}  {name}")
}

/// What a run did, in a line.
fn summary(report: &Report, is_clean: bool) -> String {
    if is_clean {
        return format!(
            "{} files: {} sidecars removed",
            report.files, report.removed
        );
    }
    let shrunk = match report.made {
        0 => String::new(),
        _ => format!(
            ", {} to {}",
            amount(report.bytes_before),
            amount(report.bytes_after)
        ),
    };
    format!(
        "{} files: {} sidecars written{shrunk}; {} were fresh, {} would not be smaller, {} out of date removed",
        report.files, report.made, report.fresh, report.useless, report.removed
    )
}

/// A number of bytes, as people read it.
fn amount(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// The `#` of a bar.
const WIDTH: usize = 24;

const REDRAW: Duration = Duration::from_millis(50);

/// Erases what is right of the cursor (ECMA-48, EL).
const ERASE: &str = "\x1b[K";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(
            line(1, 2, "app.js"),
            "[############------------] 1 of 2  app.js"
        );
        assert_eq!(line(0, 0, ""), "[########################] 0 of 0  ");
        let long = line(3, 3, &"\x1b[2Jx".repeat(50));
        assert!(!long.contains('\x1b') && long.len() < 80, "{long}");
    }

    #[test]
    fn amounts() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (9_999, "9999 bytes"),
            (10_000, "10 kB"),
            (12_000_000, "12 MB"),
        ] {
            assert_eq!(amount(bytes), text);
        }
    }
}
