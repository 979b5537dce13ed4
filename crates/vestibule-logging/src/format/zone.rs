//! The time zone of the times in a log.

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::time::SystemTime;

use super::time::Moment;

/// The time zone in which times are written. Defaults to UTC.
///
/// In UTC the lines of several machines can be merged, and no hour comes twice when summer time ends. Apache and
/// nginx write local time with its offset from UTC; [`Zone::local`] does the same. Every format but
/// [`short`](crate::Format::short) has the offset beside the time.
///
/// It is read from text: `utc`, an offset as in `+02:00`, and with the feature `local-time` also `local` and the
/// names of the IANA time zone database.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use vestibule_logging::Zone;
///
/// let zone: Zone = "+05:30".parse().unwrap();
/// assert_eq!(zone.rfc3339(UNIX_EPOCH + Duration::from_secs(86_400)), "1970-01-02T05:30:00.000000+05:30");
/// assert!("+25:00".parse::<Zone>().is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Zone(Kind);

#[derive(Clone, Debug, Default, PartialEq)]
enum Kind {
    #[default]
    Utc,
    /// Seconds east of Greenwich.
    Fixed(i32),
    #[cfg(feature = "local-time")]
    Rules(jiff::tz::TimeZone),
}

impl Zone {
    /// Universal time.
    #[must_use]
    pub const fn utc() -> Self {
        Self(Kind::Utc)
    }

    /// Reads the time zone of this machine: that of the variable `TZ`, or else of `/etc/localtime`, or else UTC.
    ///
    /// It is read once; a change of the machine's zone needs a new value. Summer time is followed.
    ///
    /// # Errors
    ///
    /// When `TZ` names no time zone, or `/etc/localtime` cannot be read.
    #[cfg(feature = "local-time")]
    pub fn local() -> Result<Self, ZoneError> {
        match jiff::tz::TimeZone::try_system() {
            Ok(zone) => Ok(Self(Kind::Rules(zone))),
            // As the C library has it.
            Err(_) if std::env::var_os("TZ").is_none() && is_without_zone() => Ok(Self::utc()),
            Err(error) => Err(ZoneError(format!(
                "the time zone of this machine cannot be read ({error}); set TZ to one of /usr/share/zoneinfo, as in \
                 TZ=Europe/Paris"
            ))),
        }
    }

    /// Writes a time as RFC 3339 has it, with microseconds and the offset of this zone.
    #[must_use]
    pub fn rfc3339(&self, time: SystemTime) -> String {
        let mut text = Vec::new();
        Moment::of(time, self).write_rfc3339(&mut text);
        // It is ASCII.
        String::from_utf8_lossy(&text).into_owned()
    }

    pub(super) const fn is_utc(&self) -> bool {
        matches!(self.0, Kind::Utc)
    }

    /// Returns the seconds east of Greenwich, at this second since 1970.
    #[cfg_attr(
        not(feature = "local-time"),
        expect(
            unused_variables,
            reason = "only the rules of a zone depend on the time"
        )
    )]
    pub(super) fn offset(&self, unix: u64) -> i32 {
        match &self.0 {
            Kind::Utc => 0,
            Kind::Fixed(seconds) => *seconds,
            #[cfg(feature = "local-time")]
            Kind::Rules(zone) => timestamp(unix).map_or(0, |it| zone.to_offset(it).seconds()),
        }
    }

    /// Writes the abbreviation, such as `CEST`, or the offset of a zone without one.
    #[cfg_attr(
        not(feature = "local-time"),
        expect(
            unused_variables,
            reason = "only the rules of a zone depend on the time"
        )
    )]
    pub(super) fn write_name(&self, unix: u64, line: &mut Vec<u8>) {
        match &self.0 {
            Kind::Utc => line.extend_from_slice(b"UTC"),
            Kind::Fixed(seconds) => write_offset(*seconds, "", line),
            #[cfg(feature = "local-time")]
            Kind::Rules(zone) => match timestamp(unix) {
                Some(time) => {
                    let name = zone.to_offset_info(time);
                    line.extend_from_slice(name.abbreviation().as_bytes());
                }
                None => line.extend_from_slice(b"UTC"),
            },
        }
    }
}

#[cfg(feature = "local-time")]
fn is_without_zone() -> bool {
    cfg!(unix) && !std::path::Path::new("/etc/localtime").exists()
}

#[cfg(feature = "local-time")]
fn timestamp(unix: u64) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_second(i64::try_from(unix).ok()?).ok()
}

/// Writes `+0200`, or `+02:00`.
pub(super) fn write_offset(seconds: i32, between: &str, line: &mut Vec<u8>) {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    // Writing to memory does not fail.
    let _ = write!(
        line,
        "{sign}{:02}{between}{:02}",
        minutes / 60,
        minutes % 60
    );
}

impl FromStr for Zone {
    type Err = ZoneError;

    /// Reads `utc`, `local`, an offset as in `+02:00`, or a name of the time zone database.
    fn from_str(text: &str) -> Result<Self, ZoneError> {
        if text.eq_ignore_ascii_case("utc") {
            return Ok(Self::utc());
        }
        if text.starts_with(['+', '-']) {
            let offset = offset(text).ok_or_else(|| {
                ZoneError(format!(
                    "{text:?} is not an offset up to 14 hours, as in +02:00"
                ))
            })?;
            return Ok(Self(Kind::Fixed(offset)));
        }
        #[cfg(feature = "local-time")]
        return match text {
            "local" => Self::local(),
            name => jiff::tz::TimeZone::get(name)
                .map(|zone| Self(Kind::Rules(zone)))
                .map_err(|_| {
                    ZoneError(format!(
                        "{name:?} is not local, utc, an offset as in +02:00, or a name of the time zone database of \
                         this machine, as Europe/Paris"
                    ))
                }),
        };
        #[cfg(not(feature = "local-time"))]
        Err(ZoneError(format!(
            "{text:?} is not utc or an offset as in +02:00; the feature `local-time` reads others"
        )))
    }
}

/// Seconds of `+HH:MM`, `+HHMM` or `+HH`, with either sign.
fn offset(text: &str) -> Option<i32> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.len() {
        2 => (rest, "00"),
        4 => rest.split_at_checked(2)?,
        _ => rest.split_once(':')?,
    };
    let number = |text: &str| match text.as_bytes() {
        [b'0'..=b'9', b'0'..=b'9'] => text.parse::<i32>().ok(),
        _ => None,
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let seconds = hours * 3_600 + minutes * 60;
    (minutes < 60 && seconds <= MAX_OFFSET).then_some(sign * seconds)
}

/// The largest offset in use is 14 hours, of Kiribati.
const MAX_OFFSET: i32 = 14 * 3_600;

/// Why a text is not a time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneError(String);

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ZoneError {}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn offsets() {
        for (text, want) in [
            ("+00:00", Some(0)),
            ("-00:00", Some(0)),
            ("+02", Some(7_200)),
            ("+0230", Some(9_000)),
            ("-03:30", Some(-12_600)),
            ("+14:00", Some(50_400)),
            ("-1400", Some(-50_400)),
            ("+14:01", None),
            ("+99:00", None),
            ("+02:60", None),
            ("+2", None),
            ("+2:00", None),
            ("+02:0", None),
            ("+", None),
            ("+0\u{e4}0", None),
            ("++200", None),
            ("+02:00:00", None),
        ] {
            let found = text.parse::<Zone>().ok();
            assert_eq!(found, want.map(|it| Zone(Kind::Fixed(it))), "{text}");
        }
        assert_eq!("UTC".parse(), Ok(Zone::utc()));
        for text in ["", "No/Such", "../passwd", "utc "] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
    }

    #[cfg(feature = "local-time")]
    #[test]
    fn summer_time_is_followed_to_the_second() {
        let zone: Zone = "Europe/Paris".parse().unwrap();
        let at = |unix| zone.rfc3339(UNIX_EPOCH + Duration::from_secs(unix));
        // The clocks of Paris went forward on 2026-03-29 at 01:00 UTC, and back on 2026-10-25.
        assert_eq!(at(1_774_745_999), "2026-03-29T01:59:59.000000+01:00");
        assert_eq!(at(1_774_746_000), "2026-03-29T03:00:00.000000+02:00");
        assert_eq!(at(1_792_889_999), "2026-10-25T02:59:59.000000+02:00");
        assert_eq!(at(1_792_890_000), "2026-10-25T02:00:00.000000+01:00");
    }

    #[test]
    fn days_and_years_change_with_the_zone() {
        let cases = [
            ("utc", 0, "1970-01-01T00:00:00.000000Z"),
            // Nothing is before 1970.
            ("-08:00", 0, "1970-01-01T00:00:00.000000-08:00"),
            ("-08:00", 946_713_600, "2000-01-01T00:00:00.000000-08:00"),
            ("-08:00", 946_713_599, "1999-12-31T23:59:59.000000-08:00"),
            ("+14:00", 951_782_400, "2000-02-29T14:00:00.000000+14:00"),
            ("+14:00", 951_818_400, "2000-03-01T00:00:00.000000+14:00"),
        ];
        for (zone, unix, want) in cases {
            let zone: Zone = zone.parse().unwrap();
            assert_eq!(zone.rfc3339(UNIX_EPOCH + Duration::from_secs(unix)), want);
        }
    }
}
