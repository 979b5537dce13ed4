//! A folder as a stream: a tar or zip archive that is built while it is sent.
//!
//! Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block"; APPNOTE.TXT
//! 6.3.10 (ZIP).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use tokio::sync::Semaphore;
use vestibule_core::{Body, Response};
use vestibule_fields::date::HttpDate;

use crate::respond::{NO_CACHE, no_sniff};
use crate::sidecar_rights::is_refused;
use crate::source::{Entry, Listed, Source, Stored, Wait};
use crate::static_files::{Files, below};

/// The archive formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Tar,
    Zip,
}

impl Format {
    /// Parses `archive=tar` or `archive=zip` in a query.
    pub(crate) fn of(query: Option<&str>) -> Option<Self> {
        query?.split('&').find_map(|pair| match pair {
            "archive=tar" => Some(Self::Tar),
            "archive=zip" => Some(Self::Zip),
            _ => None,
        })
    }
}

/// Responds with the folder called `name`. Reads files only when the body is polled.
pub(crate) fn respond<S: Source>(files: &Files<S>, name: &[u8], format: Format) -> Response {
    let (extension, kind) = match format {
        Format::Tar => ("tar", "application/x-tar"),
        Format::Zip => ("zip", "application/zip"),
    };
    let top = top(name);
    let walk = Walk::new(files.clone(), name, &top, format);
    let mut response = Response::new(Body::new(ArchiveBody {
        step: Step::Ready(Box::new(walk)),
        permits: files.options.archives.clone(),
    }));
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, NO_CACHE);
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
    headers.insert(CONTENT_DISPOSITION, disposition(&top, extension));
    no_sniff(&mut response);
    response
}

/// Returns the folder at the start of all names in the archive: the name of the folder, or `files`
/// for the root.
fn top(name: &[u8]) -> String {
    match name.rsplit(|&byte| byte == b'/').next() {
        None | Some(b"") => "files".to_owned(),
        Some(own) => String::from_utf8_lossy(own).into_owned(),
    }
}

/// Returns `attachment` with the name in ASCII, and also in UTF-8 if that differs (RFC 6266, RFC
/// 8187).
fn disposition(top: &str, extension: &str) -> HeaderValue {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_. ".contains(c);
    let plain: String = top
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect();
    let mut text = format!("attachment; filename=\"{plain}.{extension}\"");
    if plain != top {
        text.push_str("; filename*=UTF-8''");
        for byte in top.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                    text.push(char::from(byte))
                }
                _ => text.push_str(&format!("%{byte:02X}")),
            }
        }
        text.push_str(&format!(".{extension}"));
    }
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("attachment"))
}

/// The body: each piece is built when it is polled, by one call to the blocking pool.
struct ArchiveBody<S: Source> {
    step: Step<S>,
    /// Limits the number of archives that work at a time.
    permits: Option<Arc<Semaphore>>,
}

type Worked<S> = (io::Result<Option<Bytes>>, Box<Walk<S>>);

enum Step<S: Source> {
    Ready(Box<Walk<S>>),
    Working(Pin<Box<dyn Future<Output = io::Result<Worked<S>>> + Send>>),
    Done,
}

impl<S: Source> http_body::Body for ArchiveBody<S> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            match std::mem::replace(&mut self.step, Step::Done) {
                Step::Done => return Poll::Ready(None),
                Step::Ready(mut walk) => {
                    let permits = self.permits.clone();
                    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
                        let piece = walk.piece();
                        return Poll::Ready(self.made(piece, walk));
                    };
                    self.step = Step::Working(Box::pin(async move {
                        let permit = match permits {
                            // The semaphore is never closed; without a permit the work is still
                            // correct.
                            Some(permits) => permits.acquire_owned().await.ok(),
                            None => None,
                        };
                        let working = runtime.spawn_blocking(move || {
                            let piece = walk.piece();
                            drop(permit);
                            (piece, walk)
                        });
                        working.await.map_err(io::Error::other)
                    }));
                }
                Step::Working(mut working) => {
                    let Poll::Ready(worked) = working.as_mut().poll(cx) else {
                        self.step = Step::Working(working);
                        return Poll::Pending;
                    };
                    return Poll::Ready(match worked {
                        Ok((piece, walk)) => self.made(piece, walk),
                        Err(error) => Some(Err(error)),
                    });
                }
            }
        }
    }
}

impl<S: Source> ArchiveBody<S> {
    /// Continues with `walk` unless the archive ends here.
    fn made(
        &mut self,
        piece: io::Result<Option<Bytes>>,
        walk: Box<Walk<S>>,
    ) -> Option<io::Result<Frame<Bytes>>> {
        let piece = piece.transpose()?;
        if piece.is_ok() {
            self.step = Step::Ready(walk);
        }
        Some(piece.map(Frame::data))
    }
}

/// A walk through a folder, with the archive that is built from it.
struct Walk<S> {
    files: Files<S>,
    /// The current folders, the innermost last.
    folders: Vec<Folder>,
    /// The length of the name of the first folder with its slash, which is left out.
    skipped: usize,
    top: String,
    file: Option<OpenEntry>,
    writer: Writer,
    out: Vec<u8>,
    is_done: bool,
}

struct Folder {
    name: Vec<u8>,
    entries: IntoIter<Listed>,
    /// Whether a link leads to it. Below such a folder no further link to a folder is followed,
    /// since a link to a parent would be endless.
    is_linked: bool,
}

/// The file that is being sent.
struct OpenEntry {
    stored: Stored,
    at: u64,
}

impl<S: Source> Walk<S> {
    fn new(files: Files<S>, name: &[u8], top: &str, format: Format) -> Self {
        // The first folder is an entry of a folder that does not exist.
        let root = Listed {
            name: name.to_vec(),
            is_directory: true,
            is_link: false,
            length: 0,
            modified: None,
        };
        Self {
            files,
            folders: vec![Folder {
                name: Vec::new(),
                entries: vec![root].into_iter(),
                is_linked: false,
            }],
            skipped: if name.is_empty() { 0 } else { name.len() + 1 },
            top: top.to_owned(),
            file: None,
            writer: Writer::new(format),
            out: Vec::new(),
            is_done: false,
        }
    }

    /// Returns the next bytes; `None` at the end.
    fn piece(&mut self) -> io::Result<Option<Bytes>> {
        while self.out.len() < PIECE && !self.is_done {
            self.work()?;
        }
        let piece = std::mem::take(&mut self.out);
        Ok((!piece.is_empty()).then(|| piece.into()))
    }

    /// Reads a piece of the open file, or continues with the next entry.
    fn work(&mut self) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            let left = file.stored.length().saturating_sub(file.at);
            if left > 0 {
                let size = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
                // A file that was truncated meanwhile ends the archive with an error.
                let bytes = file.stored.part(file.at, size)?;
                file.at += bytes.len() as u64;
                self.writer.content(&bytes, &mut self.out);
                return Ok(());
            }
            self.writer.end_of_file(&mut self.out);
            self.file = None;
            return Ok(());
        }
        let Some(folder) = self.folders.last_mut() else {
            self.is_done = true;
            return self.writer.end(&mut self.out);
        };
        let Some(entry) = folder.entries.next() else {
            self.folders.pop();
            return Ok(());
        };
        let (name, is_linked) = (below(&folder.name, &entry.name), folder.is_linked);
        match entry.is_directory {
            true if is_linked && entry.is_link => Ok(()),
            true => self.enter(name, is_linked || entry.is_link, entry.modified),
            false => self.open(&name),
        }
    }

    /// Lists a folder. A folder that cannot be read, or that is gone, is left out.
    fn enter(
        &mut self,
        name: Vec<u8>,
        is_linked: bool,
        modified: Option<HttpDate>,
    ) -> io::Result<()> {
        let mut entries = match self.files.listed(&name) {
            Ok(entries) => entries,
            Err(error) if is_left_out(&error) && self.folders.len() > 1 => return Ok(()),
            Err(error) => return Err(error),
        };
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let shown = self.shown(&name) + "/";
        self.writer.start(&shown, None, modified, &mut self.out)?;
        self.folders.push(Folder {
            name,
            entries: entries.into_iter(),
            is_linked,
        });
        Ok(())
    }

    fn open(&mut self, name: &[u8]) -> io::Result<()> {
        if is_refused(&self.files.source, name, Wait::Allowed).unwrap_or(true) {
            return Ok(());
        }
        let stored = match self.files.source.open(name, Wait::Allowed) {
            Ok(Entry::File(stored)) => stored,
            Ok(Entry::Directory) => return Ok(()),
            Err(error) if is_left_out(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let (length, modified) = (stored.length(), stored.modified);
        let shown = self.shown(name);
        self.writer
            .start(&shown, Some(length), modified, &mut self.out)?;
        self.file = Some(OpenEntry { stored, at: 0 });
        Ok(())
    }

    /// Returns the name in the archive. It is relative and has no `..`, since each of its segments
    /// was checked.
    fn shown(&self, name: &[u8]) -> String {
        match name.get(self.skipped..) {
            None | Some(b"") => self.top.clone(),
            Some(rest) => format!("{}/{}", self.top, String::from_utf8_lossy(rest)),
        }
    }
}

/// Returns whether a file is refused or gone, which does not fail the archive.
fn is_left_out(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied || crate::static_files::is_missing(error)
}

/// Writes headers and ends around the content of files.
enum Writer {
    Tar {
        /// Number of bytes that were sent of the open file.
        sent: u64,
    },
    Zip(Zip),
}

impl Writer {
    fn new(format: Format) -> Self {
        match format {
            Format::Tar => Self::Tar { sent: 0 },
            Format::Zip => Self::Zip(Zip::default()),
        }
    }

    /// Starts a file with its length, or a folder.
    fn start(
        &mut self,
        name: &str,
        length: Option<u64>,
        modified: Option<HttpDate>,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let time = modified.map_or(0, HttpDate::unix);
        match self {
            Self::Tar { sent } => {
                *sent = 0;
                tar_header(name, length, time, out);
                Ok(())
            }
            Self::Zip(zip) => zip.start(name, length, time, out),
        }
    }

    fn content(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(bytes);
        match self {
            Self::Tar { sent } => *sent += bytes.len() as u64,
            Self::Zip(zip) => zip.content(bytes),
        }
    }

    fn end_of_file(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Tar { sent } => pad(*sent, out),
            Self::Zip(zip) => zip.end_of_file(out),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            // Two zero blocks.
            Self::Tar { .. } => {
                out.resize(out.len() + 2 * BLOCK, 0);
                Ok(())
            }
            Self::Zip(zip) => {
                zip.end(out);
                Ok(())
            }
        }
    }
}

/// Writes the header of a file or a folder, with a pax header before it for values that do not fit
/// into ustar fields.
fn tar_header(name: &str, length: Option<u64>, time: i64, out: &mut Vec<u8>) {
    let size = length.unwrap_or(0);
    let mut records = String::new();
    if name.len() > 100 || !name.is_ascii() {
        records.push_str(&pax_record("path", name));
    }
    if size > MAX_OCTAL {
        records.push_str(&pax_record("size", &size.to_string()));
    }
    if !(0..=MAX_OCTAL as i64).contains(&time) {
        records.push_str(&pax_record("mtime", &time.to_string()));
    }
    if !records.is_empty() {
        ustar("pax-header", b'x', records.len() as u64, 0, out);
        out.extend_from_slice(records.as_bytes());
        pad(records.len() as u64, out);
    }
    let kind = if length.is_some() { b'0' } else { b'5' };
    let size = if size > MAX_OCTAL { 0 } else { size };
    ustar(name, kind, size, time.clamp(0, MAX_OCTAL as i64), out);
}

/// Formats `LENGTH KEY=VALUE\n`. The length includes itself.
fn pax_record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

fn ustar(name: &str, kind: u8, size: u64, time: i64, out: &mut Vec<u8>) {
    let mut header = [0_u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    // A longer name is in the pax header.
    put(0, &name.as_bytes()[..name.len().min(100)]);
    put(
        100,
        if kind == b'5' {
            b"0000755\0"
        } else {
            b"0000644\0"
        },
    );
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, format!("{time:011o}\0").as_bytes());
    // The checksum is computed with spaces in its own field.
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.extend_from_slice(&header);
}

/// Pads the last block of a file with zeros.
fn pad(length: u64, out: &mut Vec<u8>) {
    let over = usize::try_from(length % BLOCK as u64).unwrap_or(0);
    if over > 0 {
        out.resize(out.len() + BLOCK - over, 0);
    }
}

/// A zip archive with uncompressed files. Checksums follow the content, so that each file is read
/// once.
#[derive(Default)]
struct Zip {
    /// Number of bytes so far.
    at: u64,
    directory: Vec<u8>,
    entries: u64,
    open: Option<ZipEntry>,
}

struct ZipEntry {
    name: String,
    time: i64,
    start: u64,
    length: u64,
    crc: u32,
}

impl Zip {
    fn start(
        &mut self,
        name: &str,
        length: Option<u64>,
        time: i64,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        // The directory at the end is in memory until then.
        if self.directory.len() > MAX_DIRECTORY {
            let text = "the folder has too many files for a zip archive: request a tar archive";
            return Err(io::Error::other(text));
        }
        let name_length = u16::try_from(name.len()).map_err(io::Error::other)?;
        let is_file = length.is_some();
        let length = length.unwrap_or(0);
        let is_large = length >= u64::from(u32::MAX);
        let before = out.len();
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&version(is_large).to_le_bytes());
        out.extend_from_slice(&flags(is_file).to_le_bytes());
        out.extend_from_slice(&0_u16.to_le_bytes());
        out.extend_from_slice(&dos_time(time));
        // The checksum and the lengths follow the content.
        out.extend_from_slice(&[0; 4]);
        let lengths = if is_large { u32::MAX } else { 0 };
        out.extend_from_slice(&lengths.to_le_bytes());
        out.extend_from_slice(&lengths.to_le_bytes());
        out.extend_from_slice(&name_length.to_le_bytes());
        let mut extra = unix_time(time);
        if is_large {
            extra.extend_from_slice(&[1, 0, 16, 0]);
            extra.extend_from_slice(&[0; 16]);
        }
        out.extend_from_slice(&(extra.len() as u16).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&extra);
        let entry = ZipEntry {
            name: name.to_owned(),
            time,
            start: self.at,
            length,
            crc: !0,
        };
        self.at += (out.len() - before) as u64;
        match is_file {
            true => self.open = Some(entry),
            false => self.record(&ZipEntry { crc: 0, ..entry }, false),
        }
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) {
        self.at += bytes.len() as u64;
        if let Some(entry) = &mut self.open {
            entry.crc = crc32(entry.crc, bytes);
        }
    }

    fn end_of_file(&mut self, out: &mut Vec<u8>) {
        let Some(mut entry) = self.open.take() else {
            return;
        };
        entry.crc = !entry.crc;
        let before = out.len();
        out.extend_from_slice(b"PK\x07\x08");
        out.extend_from_slice(&entry.crc.to_le_bytes());
        for _ in 0..2 {
            match u32::try_from(entry.length) {
                Ok(length) if length != u32::MAX => out.extend_from_slice(&length.to_le_bytes()),
                _ => out.extend_from_slice(&entry.length.to_le_bytes()),
            }
        }
        self.at += (out.len() - before) as u64;
        self.record(&entry, true);
    }

    /// Adds an entry to the directory at the end.
    fn record(&mut self, entry: &ZipEntry, is_file: bool) {
        let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let (length, start) = (small(entry.length), small(entry.start));
        let mut large = Vec::new();
        if length == u32::MAX {
            large.extend_from_slice(&entry.length.to_le_bytes());
            large.extend_from_slice(&entry.length.to_le_bytes());
        }
        if start == u32::MAX {
            large.extend_from_slice(&entry.start.to_le_bytes());
        }
        let mut extra = unix_time(entry.time);
        if !large.is_empty() {
            extra.extend_from_slice(&1_u16.to_le_bytes());
            extra.extend_from_slice(&(large.len() as u16).to_le_bytes());
            extra.extend_from_slice(&large);
        }
        let out = &mut self.directory;
        out.extend_from_slice(b"PK\x01\x02");
        // Made on Unix: the attributes contain the mode of a file.
        out.extend_from_slice(&(0x0300 | version(!large.is_empty())).to_le_bytes());
        out.extend_from_slice(&version(!large.is_empty()).to_le_bytes());
        out.extend_from_slice(&flags(is_file).to_le_bytes());
        out.extend_from_slice(&0_u16.to_le_bytes());
        out.extend_from_slice(&dos_time(entry.time));
        out.extend_from_slice(&entry.crc.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(entry.name.len() as u16).to_le_bytes());
        out.extend_from_slice(&(extra.len() as u16).to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        let mode: u32 = if is_file { 0o100_644 } else { 0o040_755 };
        let attributes = (mode << 16) | if is_file { 0 } else { 0x10 };
        out.extend_from_slice(&attributes.to_le_bytes());
        out.extend_from_slice(&start.to_le_bytes());
        out.extend_from_slice(entry.name.as_bytes());
        out.extend_from_slice(&extra);
        self.entries += 1;
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let (start, size) = (self.at, self.directory.len() as u64);
        out.append(&mut self.directory);
        let is_large = self.entries >= u64::from(u16::MAX) || start + size >= u64::from(u32::MAX);
        if is_large {
            out.extend_from_slice(b"PK\x06\x06");
            out.extend_from_slice(&44_u64.to_le_bytes());
            out.extend_from_slice(&(0x0300 | version(true)).to_le_bytes());
            out.extend_from_slice(&version(true).to_le_bytes());
            out.extend_from_slice(&[0; 8]);
            for value in [self.entries, self.entries, size, start] {
                out.extend_from_slice(&value.to_le_bytes());
            }
            out.extend_from_slice(b"PK\x06\x07");
            out.extend_from_slice(&0_u32.to_le_bytes());
            out.extend_from_slice(&(start + size).to_le_bytes());
            out.extend_from_slice(&1_u32.to_le_bytes());
        }
        let entries = u16::try_from(self.entries).unwrap_or(u16::MAX);
        out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        out.extend_from_slice(&entries.to_le_bytes());
        out.extend_from_slice(&entries.to_le_bytes());
        for value in [size, start] {
            out.extend_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
        }
        out.extend_from_slice(&0_u16.to_le_bytes());
    }
}

/// Returns the version that a reader needs: 4.5 for large files, 2.0 for folders.
const fn version(is_large: bool) -> u16 {
    if is_large { 45 } else { 20 }
}

/// Returns the flags: names are UTF-8, and the lengths of files follow the content.
const fn flags(is_file: bool) -> u16 {
    if is_file { 0x0808 } else { 0x0800 }
}

/// Returns the time as seconds since 1970, in the field `UT` of Info-ZIP.
fn unix_time(time: i64) -> Vec<u8> {
    let mut extra = b"UT\x05\x00\x01".to_vec();
    extra.extend_from_slice(&i32::try_from(time).unwrap_or(0).to_le_bytes());
    extra
}

/// Returns the time and the date of DOS, in UTC: from 1980 on, in steps of two seconds.
fn dos_time(time: i64) -> [u8; 4] {
    let (days, second) = (time.div_euclid(86_400), time.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (date, clock) = match year {
        1980..=2107 => (
            ((year - 1980) << 9) | (month << 5) | day,
            ((second / 3600) << 11) | ((second / 60 % 60) << 5) | (second % 60 / 2),
        ),
        _ => ((1 << 5) | 1, 0),
    };
    let [date, clock] = [date, clock].map(|it| u16::try_from(it).unwrap_or(0).to_le_bytes());
    [clock[0], clock[1], date[0], date[1]]
}

/// Returns the year, month and day of a day since 1970 (Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms").
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + (month <= 2) as i64, month, day)
}

/// Computes the CRC-32 of ISO-HDLC, four bytes at a time. The state is inverted at the start and at
/// the end.
fn crc32(mut crc: u32, bytes: &[u8]) -> u32 {
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]) ^ crc;
        let [a, b, c, d] = word.to_le_bytes().map(usize::from);
        crc = CRC[3][a] ^ CRC[2][b] ^ CRC[1][c] ^ CRC[0][d];
    }
    for byte in words.remainder() {
        let [low, ..] = (crc ^ u32::from(*byte)).to_le_bytes();
        crc = CRC[0][usize::from(low)] ^ (crc >> 8);
    }
    crc
}

static CRC: [[u32; 256]; 4] = crc_tables();

const fn crc_tables() -> [[u32; 256]; 4] {
    let mut tables = [[0; 256]; 4];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            };
            bit += 1;
        }
        tables[0][index] = crc;
        index += 1;
    }
    let mut index = 0;
    while index < 256 {
        let mut table = 1;
        while table < 4 {
            let before: u32 = tables[table - 1][index];
            tables[table][index] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            table += 1;
        }
        index += 1;
    }
    tables
}

/// Minimum size of a full piece of the body in bytes; its last file may add the same size again.
const PIECE: usize = 128 * 1024;

/// Block size of tar in bytes.
const BLOCK: usize = 512;

/// The largest number with eleven octal digits.
const MAX_OCTAL: u64 = 0o77_777_777_777;

/// Maximum size of the directory of a zip archive in bytes: about 200,000 files.
const MAX_DIRECTORY: usize = 32 * 1024 * 1024;

/// Maximum number of archives of one `StaticFiles` that work at a time. Others wait before their
/// next piece.
pub(crate) const AT_A_TIME: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc1952_8_the_checksum_of_nine_digits() {
        assert_eq!(!crc32(!0, b"123456789"), 0xcbf4_3926);
        assert_eq!(!crc32(crc32(!0, b"12345"), b"6789"), 0xcbf4_3926);
        assert_eq!(!crc32(!0, b""), 0);
    }

    #[test]
    fn a_pax_record_counts_its_own_length() {
        let cases = [
            ("path", "a"),
            ("path", &"a".repeat(90)),
            ("path", &"a".repeat(91)),
            ("size", &"9".repeat(985)),
        ];
        for (key, value) in cases {
            let record = pax_record(key, value);
            let (length, _) = record.split_once(' ').unwrap();
            assert_eq!(length.parse::<usize>().unwrap(), record.len(), "{record}");
        }
    }

    #[test]
    fn times_of_dos() {
        // 6 November 1994, 08:49:37
        assert_eq!(dos_time(784_111_777), [0x32, 0x46, 0x66, 0x1d]);
        assert_eq!(dos_time(0), [0, 0, 0x21, 0]);
        assert_eq!(dos_time(-1), [0, 0, 0x21, 0]);
        assert_eq!(dos_time(i64::MAX / 2), [0, 0, 0x21, 0]);
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
    }

    #[test]
    fn names_of_downloads() {
        let cases = [
            (&b""[..], "attachment; filename=\"files.tar\""),
            (b"a/photos", "attachment; filename=\"photos.tar\""),
            (
                b"a\"b",
                "attachment; filename=\"a_b.tar\"; filename*=UTF-8''a%22b.tar",
            ),
            (
                "f\u{e9}".as_bytes(),
                "attachment; filename=\"f_.tar\"; filename*=UTF-8''f%C3%A9.tar",
            ),
        ];
        for (name, want) in cases {
            assert_eq!(disposition(&top(name), "tar"), want);
        }
    }

    #[test]
    fn large_files_have_large_fields() {
        let large = 5_000_000_000_u64;
        let mut zip = Zip::default();
        let mut out = Vec::new();
        zip.start("a", Some(large), 0, &mut out).unwrap();
        zip.at += large;
        zip.end_of_file(&mut out);
        zip.start("b", Some(0), 0, &mut out).unwrap();
        zip.end_of_file(&mut out);
        zip.end(&mut out);
        let has = |bytes: &[u8]| out.windows(bytes.len()).any(|it| it == bytes);
        assert!(has(b"PK\x06\x06") && has(b"PK\x06\x07"));
        assert!(has(&[
            &[1, 0, 16, 0][..],
            &large.to_le_bytes(),
            &large.to_le_bytes()
        ]
        .concat()));
        let mut out = Vec::new();
        tar_header("a", Some(MAX_OCTAL + 1), 0, &mut out);
        assert!(out.windows(19).any(|it| it == b"19 size=8589934592\n"));
        assert_eq!(out.len(), 3 * BLOCK);
    }

    #[test]
    fn queries() {
        let cases = [
            (Some("archive=tar"), Some(Format::Tar)),
            (Some("sort=name&archive=zip"), Some(Format::Zip)),
            (Some("archive=rar"), None),
            (Some("archive="), None),
            (Some("xarchive=tar"), None),
            (None, None),
        ];
        for (query, want) in cases {
            assert_eq!(Format::of(query), want, "{query:?}");
        }
    }
}
