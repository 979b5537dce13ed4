//! Apache's `LogFormat` string.
//!
//! ```text
//! directive = "%" [ ["!"] status *("," status) ] ["<" / ">"] [ "{" argument "}" ] letter
//! ```
//!
//! Source: Apache HTTP Server 2.4, "mod_log_config", "Custom Log Formats".

use std::error::Error;
use std::fmt;
use std::io::Write;

use http::header::COOKIE;
use http::{HeaderMap, HeaderName};
use vestibule_core::Address;

use super::combined::{address, host, number, request_line, user, version};
use super::escape;
use super::time::Moment;
use super::zone::Zone;
use crate::{Record, RecordOutcome};

/// A string that has been read.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) text: String,
    pub(super) request_headers: Vec<HeaderName>,
    pub(super) response_headers: Vec<HeaderName>,
    pub(super) request_trailers: Vec<HeaderName>,
    pub(super) response_trailers: Vec<HeaderName>,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(Vec<u8>),
    Field { only: Option<Statuses>, what: Field },
}

/// `400,501` or `!200,304`.
#[derive(Debug)]
struct Statuses {
    not: bool,
    list: Vec<u16>,
}

#[derive(Debug)]
enum Field {
    /// What this server does not know.
    Unknown,
    /// What does not change while the program runs.
    Fixed(String),
    Host,
    ConnectionHost,
    LocalAddress,
    LocalPort,
    RemotePort,
    ServerName,
    User,
    RequestLine,
    Method,
    Path,
    Query,
    Protocol,
    Status,
    Bytes,
    BytesOrDash,
    Connection,
    RequestId,
    Time(TimeForm),
    Took(Unit),
    Queued,
    Thread,
    RequestHeader(HeaderName),
    ResponseHeader(HeaderName),
    RequestTrailer(HeaderName),
    ResponseTrailer(HeaderName),
    Cookie(String),
    File,
}

#[derive(Debug)]
struct TimeForm {
    at_end: bool,
    parts: Vec<TimePart>,
}

#[derive(Debug)]
enum TimePart {
    Clf,
    Seconds,
    Millis,
    Micros,
    MillisFraction,
    MicrosFraction,
    Strftime(char),
    Text(char),
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    Seconds,
    Millis,
    Micros,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, FormatError> {
        let mut pattern = Self {
            text: text.to_owned(),
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            request_trailers: Vec::new(),
            response_trailers: Vec::new(),
            pieces: Vec::new(),
        };
        let mut reader = Reader { rest: text, text };
        while let Some(c) = reader.next() {
            match c {
                '%' => {
                    let piece = reader.directive()?;
                    pattern.note(&piece);
                    pattern.pieces.push(piece);
                }
                '\\' => {
                    let at = reader.column() - 1;
                    match reader.next() {
                        // A line is one line, whatever the pattern says.
                        Some('n') => return Err(FormatError::new(at, "a line cannot hold `\\n`")),
                        Some('t') => pattern.literal('\t'),
                        Some(c @ ('"' | '\\' | '\'')) => pattern.literal(c),
                        other => {
                            pattern.literal('\\');
                            if let Some(c) = other {
                                pattern.literal(c);
                            }
                        }
                    }
                }
                c if c.is_control() && c != '\t' => {
                    let at = reader.column() - 1;
                    return Err(FormatError::new(at, "a line holds no control characters"));
                }
                c => pattern.literal(c),
            }
        }
        Ok(pattern)
    }

    fn literal(&mut self, c: char) {
        let mut utf8 = [0; 4];
        let bytes = c.encode_utf8(&mut utf8).as_bytes();
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.extend_from_slice(bytes),
            _ => self.pieces.push(Piece::Text(bytes.to_vec())),
        }
    }

    fn note(&mut self, piece: &Piece) {
        match piece {
            Piece::Field { what, .. } => match what {
                Field::RequestHeader(name) => self.request_headers.push(name.clone()),
                Field::Cookie(_) => self.request_headers.push(COOKIE),
                Field::ResponseHeader(name) => self.response_headers.push(name.clone()),
                Field::RequestTrailer(name) => self.request_trailers.push(name.clone()),
                Field::ResponseTrailer(name) => self.response_trailers.push(name.clone()),
                _ => {}
            },
            Piece::Text(_) => {}
        }
    }

    pub(super) fn write(&self, record: &Record, zone: &Zone, line: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => line.extend_from_slice(text),
                Piece::Field { only, .. } if !allows(only.as_ref(), record) => line.push(b'-'),
                Piece::Field { what, .. } => what.write(record, zone, line),
            }
        }
    }
}

fn allows(only: Option<&Statuses>, record: &Record) -> bool {
    only.is_none_or(|only| only.list.contains(&record.status.as_u16()) != only.not)
}

impl Field {
    fn write(&self, record: &Record, zone: &Zone, line: &mut Vec<u8>) {
        let optional = |value: Option<&[u8]>, line: &mut Vec<u8>| match value {
            Some(value) => escape(value, line),
            None => line.push(b'-'),
        };
        match self {
            Self::Unknown => line.push(b'-'),
            Self::Fixed(text) => escape(text.as_bytes(), line),
            Self::Host => host(record, line),
            Self::ConnectionHost => match &record.connection {
                Some(connection) => address(Some(connection), line),
                None => host(record, line),
            },
            Self::LocalAddress => match record.local.as_ref().and_then(Address::ip) {
                Some(ip) => drop(write!(line, "{ip}")),
                None => line.push(b'-'),
            },
            Self::LocalPort => port(record.local.as_ref(), line),
            Self::RemotePort => port(record.peer.as_ref(), line),
            Self::ServerName => match &record.host {
                Some(host) => escape(without_port(host.as_bytes()), line),
                None => line.push(b'-'),
            },
            Self::User => user(record, line),
            Self::RequestLine => request_line(record, line),
            // Only the line as a whole is known.
            Self::Method | Self::Path if record.request_line.is_some() => line.push(b'-'),
            Self::Query if record.request_line.is_some() => {}
            Self::Method => escape(record.method.as_str().as_bytes(), line),
            Self::Path => escape(record.uri.path().as_bytes(), line),
            Self::Query => {
                if let Some(query) = record.uri.query() {
                    line.push(b'?');
                    escape(query.as_bytes(), line);
                }
            }
            Self::Protocol => line.extend_from_slice(version(record.version).as_bytes()),
            Self::Status => number(u64::from(record.status.as_u16()), line),
            Self::BytesOrDash if record.bytes == 0 => line.push(b'-'),
            Self::Bytes | Self::BytesOrDash => number(record.bytes, line),
            // `X`: aborted before the response was complete; `+`: it may be kept alive.
            Self::Connection => line.push(match record.outcome {
                RecordOutcome::Complete => b'+',
                _ => b'X',
            }),
            Self::RequestId => {
                optional(record.request_id.as_ref().map(|id| id.as_bytes()), line);
            }
            Self::Time(form) => form.write(record, zone, line),
            Self::Took(unit) => number(
                match unit {
                    Unit::Seconds => record.total.as_secs(),
                    Unit::Millis => record.total.as_millis() as u64,
                    Unit::Micros => record.total.as_micros() as u64,
                },
                line,
            ),
            Self::Queued => match record.queued {
                Some(time) => number(time.as_micros() as u64, line),
                None => line.push(b'-'),
            },
            Self::Thread => {
                let id = format!("{:?}", std::thread::current().id());
                line.extend(id.bytes().filter(u8::is_ascii_digit));
            }
            Self::RequestHeader(name) => {
                let known = match *name {
                    http::header::REFERER => record.referer.as_ref(),
                    http::header::USER_AGENT => record.user_agent.as_ref(),
                    _ => record.request_headers.get(name),
                };
                optional(known.map(|value| value.as_bytes()), line);
            }
            Self::ResponseHeader(name) => list(Some(&record.response_headers), name, line),
            Self::RequestTrailer(name) => list(record.request_trailers.as_deref(), name, line),
            Self::ResponseTrailer(name) => list(record.response_trailers.as_deref(), name, line),
            Self::Cookie(name) => {
                let lines = record.request_headers.get_all(COOKIE).iter();
                let mut values = lines.filter_map(|line| cookie(line.as_bytes(), name));
                optional(values.next(), line);
            }
            Self::File => {
                let path = record
                    .file
                    .as_ref()
                    .map(|path| path.as_os_str().as_encoded_bytes());
                optional(path, line);
            }
        }
    }
}

impl TimeForm {
    fn write(&self, record: &Record, zone: &Zone, line: &mut Vec<u8>) {
        let time = match self.at_end {
            true => record.time + record.total,
            false => record.time,
        };
        let moment = Moment::of(time, zone);
        let micros = u64::from(moment.nanos / 1_000);
        for part in &self.parts {
            match part {
                TimePart::Clf => {
                    line.push(b'[');
                    moment.write_clf(line);
                    line.push(b']');
                }
                TimePart::Seconds => number(moment.unix, line),
                TimePart::Millis => number(moment.unix * 1_000 + micros / 1_000, line),
                TimePart::Micros => number(moment.unix * 1_000_000 + micros, line),
                TimePart::MillisFraction => drop(write!(line, "{:03}", micros / 1_000)),
                TimePart::MicrosFraction => drop(write!(line, "{micros:06}")),
                TimePart::Strftime(c) => drop(moment.write_strftime(*c, line)),
                TimePart::Text(c) => {
                    let mut utf8 = [0; 4];
                    line.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
                }
            }
        }
    }
}

/// The values of a field with commas between, or `-`.
fn list(fields: Option<&HeaderMap>, name: &HeaderName, line: &mut Vec<u8>) {
    let values = fields.into_iter().flat_map(|fields| fields.get_all(name));
    let mut is_first = true;
    for value in values {
        if !std::mem::take(&mut is_first) {
            line.extend_from_slice(b", ");
        }
        escape(value.as_bytes(), line);
    }
    if is_first {
        line.push(b'-');
    }
}

fn port(address: Option<&Address>, line: &mut Vec<u8>) {
    match address {
        Some(Address::Tcp(address)) => number(u64::from(address.port()), line),
        _ => line.push(b'-'),
    }
}

/// `example.org` of `example.org:80`; the colons inside of brackets stay.
fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|&byte| byte == b':') {
        Some(colon) if !host.ends_with(b"]") => &host[..colon],
        _ => host,
    }
}

/// The value of one cookie of a `Cookie` line.
fn cookie<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    // What was redacted is one word without a name.
    if line == crate::redact::REDACTED.as_bytes() {
        return Some(line);
    }
    line.split(|&byte| byte == b';').find_map(|pair| {
        let pair = pair.trim_ascii();
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(value)
    })
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// The column of what comes next, in characters, from 1.
    fn column(&self) -> usize {
        self.text.chars().count() - self.rest.chars().count() + 1
    }

    /// What follows a `%`.
    fn directive(&mut self) -> Result<Piece, FormatError> {
        let start = self.column();
        if self.rest.starts_with('%') {
            self.next();
            return Ok(Piece::Text(b"%".to_vec()));
        }
        let only = self.statuses(start)?;
        let mut argument = None;
        loop {
            let at = self.column();
            match self.next() {
                // The first and the last of several internal redirects: here there is one request.
                Some('<' | '>') => {}
                Some('{') => {
                    let Some((text, rest)) = self.rest.split_once('}') else {
                        return Err(FormatError::new(at, "the `{` has no `}`"));
                    };
                    argument = Some((at + 1, text));
                    self.rest = rest;
                }
                Some('^') => {
                    let of: Option<fn(HeaderName) -> Field> = match self.rest.get(..2) {
                        Some("ti") => Some(Field::RequestTrailer),
                        Some("to") => Some(Field::ResponseTrailer),
                        _ => None,
                    };
                    return match (of, argument) {
                        (Some(of), Some((column, name))) => {
                            let what = of(header(name, column)?);
                            self.rest = &self.rest[2..];
                            Ok(Piece::Field { only, what })
                        }
                        _ => Err(FormatError::new(
                            at,
                            "`^` stands in `%{NAME}^ti` and `%{NAME}^to`",
                        )),
                    };
                }
                Some(letter) => {
                    let what = field(letter, argument, at)?;
                    return Ok(Piece::Field { only, what });
                }
                None => return Err(FormatError::new(start - 1, "the `%` has no directive")),
            }
        }
    }

    fn statuses(&mut self, start: usize) -> Result<Option<Statuses>, FormatError> {
        let not = self.rest.starts_with('!');
        if not {
            self.next();
        }
        let is_part = |c: char| c.is_ascii_digit() || c == ',';
        let length = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(length);
        if text.is_empty() && !not {
            return Ok(None);
        }
        let list = text.split(',').map(|status| match status.parse() {
            Ok(status @ 100..=999) => Ok(status),
            _ => Err(FormatError::new(
                start,
                "statuses are three digits, with commas between",
            )),
        });
        let list = list.collect::<Result<_, _>>()?;
        self.rest = rest;
        Ok(Some(Statuses { not, list }))
    }
}

/// The directive of a letter, which stands at column `at`.
fn field(letter: char, argument: Option<(usize, &str)>, at: usize) -> Result<Field, FormatError> {
    let needed = || {
        let text = format!("`%{letter}` needs an argument: `%{{NAME}}{letter}`");
        argument.ok_or(FormatError::new(at, text))
    };
    let what = match letter {
        'a' | 'h' => match argument {
            None => Field::Host,
            Some((_, "c")) => Field::ConnectionHost,
            Some((column, _)) => return Err(FormatError::new(column, "the one argument is `c`")),
        },
        'A' => Field::LocalAddress,
        'b' => Field::BytesOrDash,
        'B' => Field::Bytes,
        'C' => Field::Cookie(needed()?.1.to_owned()),
        'D' => Field::Took(Unit::Micros),
        'e' => {
            let value = std::env::var_os(needed()?.1);
            Field::Fixed(value.map_or("-".into(), |value| value.to_string_lossy().into_owned()))
        }
        'f' => Field::File,
        'H' => Field::Protocol,
        'i' => {
            let (column, name) = needed()?;
            Field::RequestHeader(header(name, column)?)
        }
        'o' => {
            let (column, name) = needed()?;
            Field::ResponseHeader(header(name, column)?)
        }
        'n' => match needed()?.1 {
            "queue_time" => Field::Queued,
            _ => Field::Unknown,
        },
        'k' | 'l' | 'R' | 'I' | 'O' | 'S' => Field::Unknown,
        'L' => Field::RequestId,
        'm' => Field::Method,
        'p' => match argument {
            None | Some((_, "canonical" | "local")) => Field::LocalPort,
            Some((_, "remote")) => Field::RemotePort,
            Some((column, _)) => {
                return Err(FormatError::new(
                    column,
                    "ports are `canonical`, `local` and `remote`",
                ));
            }
        },
        'P' => match argument {
            None | Some((_, "pid")) => Field::Fixed(std::process::id().to_string()),
            Some((_, "tid" | "hextid")) => Field::Thread,
            Some((column, _)) => {
                return Err(FormatError::new(
                    column,
                    "ids are `pid`, `tid` and `hextid`",
                ));
            }
        },
        'q' => Field::Query,
        'r' => Field::RequestLine,
        's' => Field::Status,
        't' => Field::Time(match argument {
            Some((column, text)) => time(text, column)?,
            None => TimeForm {
                at_end: false,
                parts: vec![TimePart::Clf],
            },
        }),
        'T' => Field::Took(match argument {
            None | Some((_, "s")) => Unit::Seconds,
            Some((_, "ms")) => Unit::Millis,
            Some((_, "us")) => Unit::Micros,
            Some((column, _)) => {
                return Err(FormatError::new(column, "units are `s`, `ms` and `us`"));
            }
        }),
        'u' => Field::User,
        'U' => Field::Path,
        'v' | 'V' => Field::ServerName,
        'X' => Field::Connection,
        _ => {
            return Err(FormatError::new(
                at,
                format!("there is no directive `%{letter}`"),
            ));
        }
    };
    Ok(what)
}

fn header(name: &str, column: usize) -> Result<HeaderName, FormatError> {
    let name = HeaderName::try_from(name);
    name.map_err(|_| FormatError::new(column, "that is no name of a header"))
}

/// `begin:sec`, `msec_frac`, or `strftime`'s directives; the argument begins at `column`.
fn time(text: &str, column: usize) -> Result<TimeForm, FormatError> {
    let (at_end, rest) = match (text.strip_prefix("begin:"), text.strip_prefix("end:")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => (false, text),
    };
    let one = |part| {
        Ok(TimeForm {
            at_end,
            parts: vec![part],
        })
    };
    match rest {
        "" => return one(TimePart::Clf),
        "sec" => return one(TimePart::Seconds),
        "msec" => return one(TimePart::Millis),
        "usec" => return one(TimePart::Micros),
        "msec_frac" => return one(TimePart::MillisFraction),
        "usec_frac" => return one(TimePart::MicrosFraction),
        _ => {}
    }
    let begin = column + text.chars().count() - rest.chars().count();
    let mut parts = Vec::new();
    let mut chars = rest.chars().enumerate();
    while let Some((index, c)) = chars.next() {
        if c != '%' {
            match c.is_control() {
                true => return Err(FormatError::new(begin + index, "no control characters")),
                false => parts.push(TimePart::Text(c)),
            }
            continue;
        }
        let directive = match chars.next() {
            // `%Ey` and `%Om` are other alphabets of other locales.
            Some((_, 'E' | 'O')) => chars.next(),
            other => other,
        };
        match directive {
            Some((_, c))
                if Moment::of(std::time::UNIX_EPOCH, &Zone::utc())
                    .write_strftime(c, &mut Vec::new()) =>
            {
                parts.push(TimePart::Strftime(c));
            }
            _ => {
                return Err(FormatError::new(
                    begin + index,
                    "strftime has no such directive",
                ));
            }
        }
    }
    Ok(TimeForm { at_end, parts })
}

/// Why a format is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError {
    column: usize,
    reason: String,
}

impl FormatError {
    fn new(column: usize, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { column, reason }
    }

    pub(super) fn unknown_name(name: &str) -> Self {
        let formats = "common, combined, json, logfmt, short, or Apache's string with its `%`";
        Self::new(
            1,
            format!("there is no format {name:?}; there are {formats}"),
        )
    }

    /// Where in the string, in characters, from 1.
    ///
    /// ```
    /// assert_eq!(vestibule_logging::Format::apache("%{Referer").unwrap_err().column(), 2);
    /// ```
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.reason)
    }
}

impl Error for FormatError {}

#[cfg(test)]
mod tests {
    use crate::record::tests::sample;

    use super::*;

    fn line(pattern: &str) -> String {
        let mut record = sample();
        record
            .request_headers
            .insert("x-a", "1\t2".parse().unwrap());
        record
            .request_headers
            .insert(COOKIE, "a=b; sid=77".parse().unwrap());
        record.response_headers.append("x-b", "3".parse().unwrap());
        record.response_headers.append("x-b", "4".parse().unwrap());
        let mut trailers = HeaderMap::new();
        trailers.append("grpc-status", "7".parse().unwrap());
        trailers.append("x-c", "5\t".parse().unwrap());
        trailers.append("x-c", "6".parse().unwrap());
        record.response_trailers = Some(Box::new(trailers));
        let mut line = Vec::new();
        Pattern::parse(pattern)
            .unwrap()
            .write(&record, &Zone::utc(), &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn each_directive() {
        let cases = [
            ("%h %a %{c}a", "2001:db8::1 2001:db8::1 2001:db8::1"),
            ("%A %p %{remote}p %{local}p", "127.0.0.1 80 99 80"),
            ("%l %k %I %O %S %R %{x}n", "- - - - - - -"),
            ("%{queue_time}n", "2000"),
            ("%u %t", "ann\\x20o [10/Oct/2000:13:55:36 +0000]"),
            ("\\\"%r\\\"", "\"GET /a%20b?c=\\x5Cd HTTP/1.1\""),
            ("%m %U%q %H %v", "GET /a%20b?c=\\x5Cd HTTP/1.1 example.org"),
            ("%s %>s %<s %b %B", "200 200 200 2326 2326"),
            ("%D %T %{ms}T %{us}T %{s}T", "12000 0 12 12000 0"),
            (
                "%{Referer}i %{User-Agent}i %{X-A}i %{no}i",
                "https://example.org/ curl/8.0 1\\x092 -",
            ),
            ("%{X-B}o %{no}o", "3, 4 -"),
            ("%{sid}C %{id}C", "77 -"),
            ("%400,501{Referer}i %!200,304m %200m", "- - GET"),
            (
                "%{%Y-%m-%d}t %{sec}t %{msec_frac}t",
                "2000-10-10 971186136 000",
            ),
            (
                "%{end:usec}t %{begin:}t",
                "971186136012000 [10/Oct/2000:13:55:36 +0000]",
            ),
            ("%X %% %{Foo}^ti %{Foo}^to", "+ % - -"),
            ("%{grpc-status}^to %{X-C}^to %{X-C}^ti", "7 5\\x09, 6 -"),
            ("%200{grpc-status}^to %404{grpc-status}^to", "7 -"),
            ("%{NO_SUCH_VARIABLE}e %f %L", "- - -"),
        ];
        for (pattern, want) in cases {
            assert_eq!(line(pattern), want, "{pattern}");
        }
        let mut record = sample();
        record.connection = Some(Box::new(Address::Tcp("10.0.0.1:5".parse().unwrap())));
        record.request_line = Some(vestibule_core::RequestLine::new(b"\x16\x03"));
        let mut line_of_both = Vec::new();
        let pattern = Pattern::parse("%a %h %{c}a %{c}h %r %m %U%q").unwrap();
        pattern.write(&record, &Zone::utc(), &mut line_of_both);
        let want = "2001:db8::1 2001:db8::1 10.0.0.1 10.0.0.1 \\x16\\x03 - -";
        assert_eq!(String::from_utf8(line_of_both).unwrap(), want);
        assert_eq!(line("%P"), std::process::id().to_string());
        // Apache's own definition of the combined format gives our own line.
        let mut own = Vec::new();
        super::super::combined::write(&sample(), &Zone::utc(), &mut own);
        let combined = r#"%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-agent}i\""#;
        assert_eq!(line(combined).into_bytes(), own);
    }

    #[test]
    fn mistakes_have_a_column() {
        let cases = [
            ("%h %j", 5),
            ("%", 1),
            ("%h %", 4),
            ("%{a", 2),
            ("%i", 2),
            ("x%{a b}i", 4),
            ("%{min}T", 3),
            ("%{%Q}t", 3),
            ("%{begin:%Y%Q}t", 11),
            ("%40x", 2),
            ("%!h", 2),
            ("%{Foo}^tx", 7),
            ("%{x}p", 3),
            ("a\\nb", 2),
            ("\u{e9}%j", 3),
            ("a\nb", 2),
            ("%{up}P", 3),
        ];
        for (pattern, column) in cases {
            let error = Pattern::parse(pattern).unwrap_err();
            assert_eq!(error.column(), column, "{pattern}: {error}");
        }
    }
}
