//! `traceparent` and `tracestate`: the trace of a request.
//!
//! ```text
//! traceparent = version "-" trace-id "-" parent-id "-" trace-flags
//! version     = 2HEXDIGLC      ; not ff
//! trace-id    = 32HEXDIGLC     ; not all zero
//! parent-id   = 16HEXDIGLC     ; not all zero
//! trace-flags = 2HEXDIGLC      ; bit 0: sampled
//! ```
//!
//! Source: W3C Trace Context, sections 3.2 (`traceparent`) and 3.3 (`tracestate`).
//!
//! A broken or repeated `traceparent` is ignored with its `tracestate`, and a new trace begins. A
//! version above 00 is read as version 00, when the text after it begins with `-` (section 4.1). A
//! `tracestate` within its limits is kept unchanged; otherwise it is dropped as a whole.
//!
//! ```
//! use vestibule_fields::trace_context::TraceParent;
//!
//! let value = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
//! let parent = TraceParent::parse(value).unwrap();
//! assert_eq!(parent.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
//! assert!(parent.is_sampled());
//! assert_eq!(parent.to_header_value(), value);
//! ```

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::header_value;
use crate::list::Lines;

/// The id of a trace: 16 bytes, not all zero, written as 32 lower-case digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// The id of a span: 8 bytes, not all zero, written as 16 lower-case digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

/// A trace, and its span that sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: TraceId,
    parent: SpanId,
    flags: u8,
}

impl TraceId {
    /// Creates an id; `None` for zero.
    ///
    /// ```
    /// use vestibule_fields::trace_context::TraceId;
    ///
    /// assert!(TraceId::new(0).is_none());
    /// assert!(TraceId::new(7).unwrap().to_string().ends_with("07"));
    /// ```
    #[must_use]
    pub const fn new(id: u128) -> Option<Self> {
        match id {
            0 => None,
            id => Some(Self(id)),
        }
    }
}

impl SpanId {
    /// Creates an id; `None` for zero.
    ///
    /// ```
    /// assert!(vestibule_fields::trace_context::SpanId::new(0).is_none());
    /// ```
    #[must_use]
    pub const fn new(id: u64) -> Option<Self> {
        match id {
            0 => None,
            id => Some(Self(id)),
        }
    }
}

impl TraceParent {
    /// Creates the value for a span in a trace.
    ///
    /// ```
    /// use vestibule_fields::trace_context::{SpanId, TraceId, TraceParent};
    ///
    /// let parent = TraceParent::new(TraceId::new(1).unwrap(), SpanId::new(2).unwrap(), false);
    /// assert_eq!(parent.to_string(), format!("00-{:032x}-{:016x}-00", 1, 2));
    /// ```
    #[must_use]
    pub const fn new(trace: TraceId, parent: SpanId, is_sampled: bool) -> Self {
        Self {
            trace,
            parent,
            flags: is_sampled as u8,
        }
    }

    /// Reads one value, strictly.
    ///
    /// ```
    /// use vestibule_fields::trace_context::TraceParent;
    ///
    /// assert!(TraceParent::parse("00-00000000000000000000000000000000-00f067aa0ba902b7-01").is_none());
    /// assert!(TraceParent::parse("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").is_none());
    /// ```
    #[must_use]
    pub fn parse(value: &(impl AsRef<[u8]> + ?Sized)) -> Option<Self> {
        let value = value.as_ref();
        let (known, rest) = value.split_at_checked(LENGTH)?;
        let mut parts = known.split(|&byte| byte == b'-');
        let version = hex(parts.next()?, 2)?;
        let trace = TraceId::new(hex(parts.next()?, 32)?)?;
        let parent = SpanId::new(u64::try_from(hex(parts.next()?, 16)?).ok()?)?;
        let flags = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        let may_go_on = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        (may_go_on && parts.next().is_none()).then_some(Self {
            trace,
            parent,
            flags: flags & KNOWN_FLAGS,
        })
    }

    /// Reads the field; `None` when it is absent, broken or repeated.
    ///
    /// ```
    /// use vestibule_fields::trace_context::TraceParent;
    ///
    /// assert!(TraceParent::from_headers(&http::HeaderMap::new()).is_none());
    /// ```
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        Self::parse(Lines::from_headers(headers, TRACEPARENT).only()?)
    }

    /// Returns the id of the trace.
    #[must_use]
    pub const fn trace_id(&self) -> TraceId {
        self.trace
    }

    /// Returns the id of the span that sent the request.
    #[must_use]
    pub const fn parent_id(&self) -> SpanId {
        self.parent
    }

    /// Returns whether the sender may have recorded its part.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Returns the same trace with another span as the sender.
    #[must_use]
    pub const fn with_parent(mut self, parent: SpanId) -> Self {
        self.parent = parent;
        self
    }

    /// Returns the value of the field, in version 00.
    #[must_use]
    pub fn to_header_value(self) -> HeaderValue {
        header_value(self.to_string().into_bytes())
    }
}

/// Reads the `tracestate` of a request as one line. `None` when it is absent, or exceeds its
/// limits: 512 bytes, 32 members, each a key, `=` and a value, and no key twice.
///
/// ```
/// use http::HeaderMap;
/// use vestibule_fields::trace_context::{TRACESTATE, state_from_headers};
///
/// let mut headers = HeaderMap::new();
/// headers.append(TRACESTATE, "rojo=00f067aa0ba902b7".parse().unwrap());
/// headers.append(TRACESTATE, "congo=t61rcWkgMzE".parse().unwrap());
/// assert_eq!(state_from_headers(&headers).unwrap(), "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
///
/// headers.append(TRACESTATE, "Rojo=x".parse().unwrap());
/// assert_eq!(state_from_headers(&headers), None);
/// ```
#[must_use]
pub fn state_from_headers(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut keys: Vec<&[u8]> = Vec::new();
    let mut all: Vec<u8> = Vec::new();
    for line in headers.get_all(TRACESTATE) {
        for member in line.as_bytes().split(|&byte| byte == b',') {
            let member = member.trim_ascii();
            if member.is_empty() {
                continue;
            }
            let at = member.iter().position(|&byte| byte == b'=')?;
            let (key, value) = member.split_at_checked(at)?;
            let value = value.split_first()?.1;
            if !is_key(key) || !is_value(value) || keys.contains(&key) || keys.len() >= MAX_MEMBERS
            {
                return None;
            }
            keys.push(key);
            if !all.is_empty() {
                all.push(b',');
            }
            all.extend_from_slice(member);
            if all.len() > MAX_BYTES {
                return None;
            }
        }
    }
    (!all.is_empty()).then(|| header_value(all))
}

/// Returns whether the key is `lcalpha / DIGIT`, then up to 255 of these and `_-*/@`; section
/// 3.3.1.3.1, with the relaxed rule of level 2 for `@`.
fn is_key(key: &[u8]) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_other = |byte: &u8| is_first(byte) || b"_-*/@".contains(byte);
    key.len() <= 256 && key.first().is_some_and(is_first) && key.iter().all(is_other)
}

/// Returns whether the value is up to 256 printable bytes without `,` and `=`; section 3.3.1.3.2.
fn is_value(value: &[u8]) -> bool {
    let is_inner = |byte: &u8| matches!(byte, b' '..=b'~') && !b",=".contains(byte);
    !value.is_empty() && value.len() <= 256 && value.iter().all(is_inner)
}

/// Parses exactly `digits` lower-case digits.
fn hex(text: &[u8], digits: usize) -> Option<u128> {
    if text.len() != digits {
        return None;
    }
    text.iter().try_fold(0_u128, |number, &byte| {
        let digit = match byte {
            b'0'..=b'9' | b'a'..=b'f' => char::from(byte).to_digit(16)?,
            _ => return None,
        };
        Some(number.wrapping_shl(4) | u128::from(digit))
    })
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.parent, self.flags)
    }
}

/// The field for the trace and the span.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The field for data of vendors.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// `00-`, 32 digits, `-`, 16 digits, `-`, two digits.
const LENGTH: usize = 55;
const SAMPLED: u8 = 1;
/// Sampled, and the random flag of level 2. Unknown flags are not passed on.
const KNOWN_FLAGS: u8 = 3;
/// Section 3.3.1.5 requires at least 512 bytes.
const MAX_BYTES: usize = 512;
const MAX_MEMBERS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

    #[test]
    fn w3c_trace_context_3_2() {
        let cases = [
            (format!("00-{TRACE}-01"), Some(true)),
            (format!("00-{TRACE}-00"), Some(false)),
            (format!("00-{TRACE}-ff"), Some(true)),
            (format!("cc-{TRACE}-01"), Some(true)),
            (
                format!("cc-{TRACE}-01-what-the-future-will-be-like"),
                Some(true),
            ),
            (format!("cc-{TRACE}-01.what"), None),
            (format!("00-{TRACE}-01-x"), None),
            (format!("00-{TRACE}-0"), None),
            (format!("00-{TRACE}-0g"), None),
            (format!("ff-{TRACE}-01"), None),
            (format!("00-{}-01", TRACE.to_uppercase()), None),
            (format!(" 00-{TRACE}-01"), None),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None),
            (
                format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16)),
                None,
            ),
            (format!("00_{TRACE}_01"), None),
            (String::new(), None),
        ];
        for (value, sampled) in cases {
            let parsed = TraceParent::parse(&value);
            assert_eq!(parsed.map(|parent| parent.is_sampled()), sampled, "{value}");
        }
    }

    #[test]
    fn w3c_trace_context_3_3() {
        let state = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.append(TRACESTATE, value.parse().unwrap());
            state_from_headers(&headers).map(|value| value.to_str().unwrap().to_owned())
        };
        let many = |n: usize| {
            (0..n)
                .map(|i| format!("k{i}=v"))
                .collect::<Vec<_>>()
                .join(",")
        };
        assert_eq!(state("a=1 , ,b=2").as_deref(), Some("a=1,b=2"));
        assert_eq!(state("fw529a3039@dt=x").as_deref(), Some("fw529a3039@dt=x"));
        assert!(state(&many(32)).is_some());
        for broken in [
            "a",
            "a=",
            "=1",
            "A=1",
            "a=1,a=2",
            "a=b=c",
            "a=\u{e9}",
            &many(33),
            &"a=".repeat(300),
        ] {
            assert_eq!(state(broken), None, "{broken}");
        }
        assert_eq!(state(""), None);
    }
}
