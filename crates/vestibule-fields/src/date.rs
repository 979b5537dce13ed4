//! Dates: `Date`, `Last-Modified`, `Expires`, `If-Modified-Since`, `If-Unmodified-Since`, and one
//! form of others.
//!
//! ```text
//! HTTP-date    = IMF-fixdate / rfc850-date / asctime-date
//! IMF-fixdate  = day-name "," SP 2DIGIT SP month SP 4DIGIT SP time-of-day SP GMT   ; Sun, 06 Nov 1994 08:49:37 GMT
//! rfc850-date  = day-name-l "," SP 2DIGIT "-" month "-" 2DIGIT SP time-of-day SP GMT ; Sunday, 06-Nov-94 08:49:37 GMT
//! asctime-date = day-name SP month SP ( 2DIGIT / ( SP 1DIGIT ) ) SP time-of-day SP 4DIGIT ; Sun Nov  6 08:49:37 1994
//! ```
//!
//! Source: RFC 9110 section 5.6.7.
//!
//! All three forms are read; only IMF-fixdate is written. Names are case-sensitive, as in the RFC.
//! Three decisions go beyond the RFC: the day name must be one of the seven but is not checked
//! against the date; a leap second (`23:59:60`, no other time) is the second after it, as in POSIX;
//! and the year 0000 is refused, like the 31st of February.
//!
//! ```
//! use vestibule_fields::date::HttpDate;
//!
//! let now = HttpDate::from_unix(1_700_000_000);
//! let date = HttpDate::parse("Sun, 06 Nov 1994 08:49:37 GMT", now).unwrap();
//! assert_eq!(date.unix(), 784_111_777);
//! assert_eq!(HttpDate::parse("Sunday, 06-Nov-94 08:49:37 GMT", now), Some(date));
//! assert_eq!(HttpDate::parse("Sun Nov  6 08:49:37 1994", now), Some(date));
//! assert_eq!(date.to_bytes(), *b"Sun, 06 Nov 1994 08:49:37 GMT");
//! ```

use std::fmt;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::header_value;
use crate::list::Lines;

/// A second between the years 1 and 9999, which a field value can express.
///
/// Ordered by time, so `.min(now)` limits a `Last-Modified` in the future (RFC 9110, section
/// 8.8.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpDate {
    unix: i64,
}

impl HttpDate {
    /// `Mon, 01 Jan 0001 00:00:00 GMT`.
    ///
    /// ```
    /// use vestibule_fields::date::HttpDate;
    ///
    /// assert_eq!(HttpDate::MIN.to_string(), "Mon, 01 Jan 0001 00:00:00 GMT");
    /// ```
    pub const MIN: Self = Self {
        unix: -62_135_596_800,
    };

    /// `Fri, 31 Dec 9999 23:59:59 GMT`.
    ///
    /// ```
    /// use vestibule_fields::date::HttpDate;
    ///
    /// assert_eq!(HttpDate::MAX.to_string(), "Fri, 31 Dec 9999 23:59:59 GMT");
    /// ```
    pub const MAX: Self = Self {
        unix: 253_402_300_799,
    };

    /// Creates the date `seconds` after the start of 1970, or before it if negative. Returns
    /// [`MIN`](Self::MIN) or [`MAX`](Self::MAX) outside the years 1 to 9999.
    ///
    /// ```
    /// use vestibule_fields::date::HttpDate;
    ///
    /// assert_eq!(HttpDate::from_unix(-1).to_string(), "Wed, 31 Dec 1969 23:59:59 GMT");
    /// assert_eq!(HttpDate::from_unix(i64::MAX), HttpDate::MAX);
    /// ```
    #[must_use]
    pub fn from_unix(seconds: i64) -> Self {
        Self {
            unix: seconds.clamp(Self::MIN.unix, Self::MAX.unix),
        }
    }

    /// Reads a date in any of the three forms.
    ///
    /// `now` is used only for the two-digit year of the RFC 850 form: the result is the last year
    /// with these digits that is not more than 50 years after `now`.
    ///
    /// ```
    /// use vestibule_fields::date::HttpDate;
    ///
    /// let in_2026 = HttpDate::from_unix(1_780_000_000);
    /// let year = |value| HttpDate::parse(value, in_2026).unwrap().to_string()[12..16].to_owned();
    /// assert_eq!(year("Friday, 01-Jan-77 00:00:00 GMT"), "1977");
    /// assert_eq!(year("Friday, 01-Jan-76 00:00:00 GMT"), "2076");
    ///
    /// assert!(HttpDate::parse("Fri, 31 Feb 2025 00:00:00 GMT", in_2026).is_none());
    /// ```
    #[must_use]
    pub fn parse(value: &(impl AsRef<[u8]> + ?Sized), now: Self) -> Option<Self> {
        let civil = match value.as_ref() {
            #[rustfmt::skip]
            [day @ .., b',', b' ', d1, d2, b' ', n1, n2, n3, b' ', y1, y2, y3, y4,
                b' ', h1, h2, b':', m1, m2, b':', s1, s2, b' ', b'G', b'M', b'T'] => {
                DAYS.iter().any(|name| day == *name).then_some(Civil {
                    year: number([y1, y2, y3, y4])?,
                    month: month([*n1, *n2, *n3])?,
                    day: number([d1, d2])?,
                    hour: number([h1, h2])?,
                    minute: number([m1, m2])?,
                    second: number([s1, s2])?,
                })
            },
            #[rustfmt::skip]
            [day @ .., b',', b' ', d1, d2, b'-', n1, n2, n3, b'-', y1, y2,
                b' ', h1, h2, b':', m1, m2, b':', s1, s2, b' ', b'G', b'M', b'T'] => {
                LONG_DAYS.contains(&day).then_some(Civil {
                    year: number([y1, y2])?,
                    month: month([*n1, *n2, *n3])?,
                    day: number([d1, d2])?,
                    hour: number([h1, h2])?,
                    minute: number([m1, m2])?,
                    second: number([s1, s2])?,
                }).map(|civil| civil.in_century(now))
            },
            #[rustfmt::skip]
            [a, b, c, b' ', n1, n2, n3, b' ', d1, d2,
                b' ', h1, h2, b':', m1, m2, b':', s1, s2, b' ', y1, y2, y3, y4] => {
                DAYS.contains(&&[*a, *b, *c]).then_some(Civil {
                    year: number([y1, y2, y3, y4])?,
                    month: month([*n1, *n2, *n3])?,
                    day: if *d1 == b' ' { number([d2])? } else { number([d1, d2])? },
                    hour: number([h1, h2])?,
                    minute: number([m1, m2])?,
                    second: number([s1, s2])?,
                })
            },
            _ => None,
        };
        civil?.to_date()
    }

    /// Reads the field called `name`; `None` when it is absent, broken or repeated.
    ///
    /// Respond to a conditional request whose date is `None` as if the field were absent (RFC 9110,
    /// section 13.1.3).
    ///
    /// ```
    /// use http::{HeaderMap, header::IF_MODIFIED_SINCE};
    /// use vestibule_fields::date::HttpDate;
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.insert(IF_MODIFIED_SINCE, "Thu, 01 Jan 1970 00:00:00 GMT".parse().unwrap());
    /// let now = HttpDate::from_unix(1_700_000_000);
    /// assert_eq!(HttpDate::from_headers(&headers, IF_MODIFIED_SINCE, now), Some(HttpDate::from_unix(0)));
    /// ```
    #[must_use]
    pub fn from_headers(headers: &HeaderMap, name: HeaderName, now: Self) -> Option<Self> {
        Self::parse(Lines::from_headers(headers, name).only()?, now)
    }

    /// Returns the seconds since the start of 1970; negative before it.
    ///
    /// ```
    /// use vestibule_fields::date::HttpDate;
    ///
    /// assert_eq!(HttpDate::from_unix(-1).unix(), -1);
    /// ```
    #[must_use]
    pub fn unix(self) -> i64 {
        self.unix
    }

    /// Returns the date as IMF-fixdate, which is always 29 bytes of ASCII. Does not allocate.
    ///
    /// ```
    /// use vestibule_fields::date::HttpDate;
    ///
    /// assert_eq!(&HttpDate::from_unix(0).to_bytes(), b"Thu, 01 Jan 1970 00:00:00 GMT");
    /// ```
    #[must_use]
    pub fn to_bytes(self) -> [u8; 29] {
        let civil = Civil::from_date(self);
        let [w1, w2, w3] = *self.weekday();
        let [n1, n2, n3] = *civil.month_name();
        let [y1, y2] = digits(civil.year / 100);
        let [y3, y4] = digits(civil.year % 100);
        let [d1, d2] = digits(civil.day);
        let [h1, h2] = digits(civil.hour);
        let [m1, m2] = digits(civil.minute);
        let [s1, s2] = digits(civil.second);
        #[rustfmt::skip]
        return [w1, w2, w3, b',', b' ', d1, d2, b' ', n1, n2, n3, b' ', y1, y2, y3, y4,
            b' ', h1, h2, b':', m1, m2, b':', s1, s2, b' ', b'G', b'M', b'T'];
    }

    /// Returns the date as a header value.
    ///
    /// ```
    /// use vestibule_fields::date::HttpDate;
    ///
    /// assert_eq!(HttpDate::from_unix(0).to_header_value(), "Thu, 01 Jan 1970 00:00:00 GMT");
    /// ```
    #[must_use]
    pub fn to_header_value(self) -> HeaderValue {
        header_value(self.to_bytes().to_vec())
    }

    /// Returns the date as a system time; `None` when the system has no such time, as before 1601
    /// on Windows.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use vestibule_fields::date::HttpDate;
    ///
    /// assert_eq!(HttpDate::from_unix(0).to_system_time(), Some(SystemTime::UNIX_EPOCH));
    /// ```
    #[must_use]
    pub fn to_system_time(self) -> Option<SystemTime> {
        let distance = Duration::from_secs(self.unix.unsigned_abs());
        if self.unix < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(distance)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(distance)
        }
    }

    fn weekday(self) -> &'static [u8; 3] {
        // 1 January 1970 was a Thursday, four days after a Sunday.
        let day = self.unix.div_euclid(DAY).saturating_add(4).rem_euclid(7);
        name(&DAYS, day)
    }
}

/// Returns the second that contains `time`. Fractions are rounded towards the past, also before
/// 1970, so that a `Last-Modified` is never later than the change. Times outside the years 1 to
/// 9999 become [`HttpDate::MIN`] or [`HttpDate::MAX`].
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use vestibule_fields::date::HttpDate;
///
/// let half = Duration::from_millis(500);
/// assert_eq!(HttpDate::from(SystemTime::UNIX_EPOCH + half).unix(), 0);
/// assert_eq!(HttpDate::from(SystemTime::UNIX_EPOCH - half).unix(), -1);
/// ```
impl From<SystemTime> for HttpDate {
    fn from(time: SystemTime) -> Self {
        let seconds = |distance: Duration| i64::try_from(distance.as_secs()).unwrap_or(i64::MAX);
        Self::from_unix(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => seconds(after),
            Err(error) => {
                let before = error.duration();
                let fraction = i64::from(before.subsec_nanos() > 0);
                seconds(before).saturating_neg().saturating_sub(fraction)
            }
        })
    }
}

/// Writes IMF-fixdate.
impl fmt::Display for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes()
            .into_iter()
            .try_for_each(|byte| fmt::Write::write_char(f, char::from(byte)))
    }
}

/// A date of the proleptic Gregorian calendar. The order of the fields gives the order of dates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Civil {
    year: i64,
    /// 1 to 12.
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

#[allow(
    clippy::arithmetic_side_effects,
    reason = "years have at most five digits and the other fields two, far inside an i64; divisors are literals"
)]
impl Civil {
    /// Returns the date with the century of its two-digit year: the last year with these digits in
    /// which the date is not more than 50 years after `now`.
    fn in_century(self, now: HttpDate) -> Self {
        let now = Self::from_date(now);
        let limit = Self {
            year: now.year + 50,
            ..now
        };
        let year = limit.year - (limit.year - self.year).rem_euclid(100);
        let date = Self { year, ..self };
        if date > limit {
            Self {
                year: year - 100,
                ..date
            }
        } else {
            date
        }
    }

    /// Returns the second, or `None` when the date does not exist.
    fn to_date(self) -> Option<HttpDate> {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = self;
        let leap_year = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 => 28 + i64::from(leap_year),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let leap_second = hour == 23 && minute == 59 && second == 60;
        let exists = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days).contains(&day)
            && hour <= 23
            && minute <= 59
            && (second <= 59 || leap_second);
        if !exists {
            return None;
        }
        // Years start in March here, so that the leap day is the last day of its year; 153 days are
        // five months.
        let (year, month) = if month > 2 {
            (year, month - 3)
        } else {
            (year - 1, month + 9)
        };
        let days =
            365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + (day - 1);
        let unix = (days - DAYS_TO_1970) * DAY + hour * 3600 + minute * 60 + second;
        (unix <= HttpDate::MAX.unix).then_some(HttpDate { unix })
    }

    fn from_date(date: HttpDate) -> Self {
        let (days, seconds) = (date.unix.div_euclid(DAY), date.unix.rem_euclid(DAY));
        // The inverse of `to_date`. Split into cycles of 400 years with 146097 days. Then compute
        // the year from its number of days without the leap days: one in 1460, in 36524 and in
        // 146096.
        let days = days + DAYS_TO_1970;
        let (era, days) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (days - days / 1460 + days / 36_524 - days / 146_096) / 365;
        let days = days - (365 * year + year / 4 - year / 100);
        let month = (5 * days + 2) / 153;
        let day = days - (153 * month + 2) / 5 + 1;
        let year = year + era * 400;
        let (year, month) = if month < 10 {
            (year, month + 3)
        } else {
            (year + 1, month - 9)
        };
        Self {
            year,
            month,
            day,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }

    fn month_name(self) -> &'static [u8; 3] {
        name(&MONTHS, self.month - 1)
    }
}

/// Returns the decimal number of `digits`, or `None` when one is not a digit.
fn number<const N: usize>(digits: [&u8; N]) -> Option<i64> {
    digits.into_iter().try_fold(0_i64, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(i64::from(digit))
    })
}

/// Returns the last two digits of `number`, which is not negative.
fn digits(number: i64) -> [u8; 2] {
    let digit = |number: i64| b'0'.saturating_add((number % 10) as u8);
    [digit(number / 10), digit(number)]
}

/// Returns the month with this name, from 1.
fn month(name: [u8; 3]) -> Option<i64> {
    (1..)
        .zip(MONTHS)
        .find_map(|(number, month)| (*month == name).then_some(number))
}

/// Returns the name at `index`. The index is always valid; the fallback avoids a panic.
fn name(table: &[&'static [u8; 3]], index: i64) -> &'static [u8; 3] {
    let index = usize::try_from(index).ok();
    index
        .and_then(|index| table.get(index))
        .copied()
        .unwrap_or(b"???")
}

/// Seconds in a day.
const DAY: i64 = 86_400;

/// Days from 1 March of the year 0 to 1 January 1970.
const DAYS_TO_1970: i64 = 719_468;

const DAYS: [&[u8; 3]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];

const LONG_DAYS: [&[u8]; 7] = [
    b"Sunday",
    b"Monday",
    b"Tuesday",
    b"Wednesday",
    b"Thursday",
    b"Friday",
    b"Saturday",
];

#[rustfmt::skip]
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> HttpDate {
        // Thu, 28 May 2026 20:26:40 GMT
        HttpDate::from_unix(1_780_000_000)
    }

    #[test]
    fn rfc9110_5_6_7_forms() {
        let table = [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("Sun Nov 06 08:49:37 1994", Some(784_111_777)),
            ("Wed Nov 16 08:49:37 1994", Some(784_975_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Wed, 31 Dec 1969 23:59:59 GMT", Some(-1)),
            ("Mon, 01 Jan 0001 00:00:00 GMT", Some(HttpDate::MIN.unix)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(HttpDate::MAX.unix)),
            ("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400)),
            ("Thu, 29 Feb 2024 12:00:00 GMT", Some(1_709_208_000)),
            ("Tue, 19 Jan 2038 03:14:08 GMT", Some(2_147_483_648)),
            // The wrong day of the week is accepted.
            ("Mon, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            // A leap second is the second after it.
            ("Sat, 31 Dec 2016 23:59:60 GMT", Some(1_483_228_800)),
            ("Sat, 31 Dec 2016 23:58:60 GMT", None),
            ("Sat, 31 Dec 2016 23:59:61 GMT", None),
            ("Fri, 31 Dec 9999 23:59:60 GMT", None),
            // Dates that do not exist.
            ("Fri, 31 Feb 2025 00:00:00 GMT", None),
            ("Sat, 29 Feb 2025 00:00:00 GMT", None),
            ("Thu, 29 Feb 1900 00:00:00 GMT", None),
            ("Thu, 31 Apr 2025 00:00:00 GMT", None),
            ("Thu, 00 Jan 2025 00:00:00 GMT", None),
            ("Thu, 32 Jan 2025 00:00:00 GMT", None),
            ("Thu, 01 Jan 0000 00:00:00 GMT", None),
            ("Thu, 01 Jan 99999 00:00:00 GMT", None),
            ("Sun, 06 Nov 1994 24:00:00 GMT", None),
            ("Sun, 06 Nov 1994 08:60:00 GMT", None),
            // Invalid syntax.
            ("", None),
            ("0", None),
            ("-1", None),
            ("784111777", None),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 06 Nov 1994 08:49:37 UTC", None),
            ("Sun, 06 Nov 1994 08:49:37 +0000", None),
            ("Sun, 06 Nov 1994 08:49:37 gmt", None),
            ("sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 nov 1994 08:49:37 GMT", None),
            ("Son, 06 Nov 1994 08:49:37 GMT", None),
            (", 06 Nov 1994 08:49:37 GMT", None),
            ("06 Nov 1994 08:49:37 GMT", None),
            ("Sunday, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06-Nov-94 08:49:37 GMT", None),
            ("Sun, 6 Nov 1994 08:49:37 GMT", None),
            ("Sun,  6 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 8:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08-49-37 GMT", None),
            ("Sun, +6 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov -994 08:49:37 GMT", None),
            (" Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT ", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT; length=1", None),
            ("Sun Nov 6 08:49:37 1994", None),
            ("Sun Nov  6 08:49:37 1994 GMT", None),
            ("Sun Nov   08:49:37 1994", None),
        ];
        for (value, unix) in table {
            let found = HttpDate::parse(value, now()).map(HttpDate::unix);
            assert_eq!(found, unix, "{value}");
        }
    }

    #[test]
    fn rfc9110_5_6_7_two_digit_years() {
        let in_1999 = HttpDate::from_unix(946_684_799);
        let in_2080 = HttpDate::from_unix(3_471_292_800);
        let table = [
            // To the second: 50 years after `now` is not more than 50 years.
            (now(), "Thursday, 28-May-76 20:26:40 GMT", "2076"),
            (now(), "Thursday, 28-May-76 20:26:41 GMT", "1976"),
            (now(), "Thursday, 27-May-76 23:59:59 GMT", "2076"),
            (now(), "Thursday, 29-May-76 00:00:00 GMT", "1976"),
            (now(), "Thursday, 01-Jan-77 00:00:00 GMT", "1977"),
            (now(), "Thursday, 01-Jan-00 00:00:00 GMT", "2000"),
            (now(), "Thursday, 01-Jan-26 00:00:00 GMT", "2026"),
            (now(), "Thursday, 31-Dec-26 00:00:00 GMT", "2026"),
            (now(), "Thursday, 31-Dec-99 00:00:00 GMT", "1999"),
            (in_1999, "Saturday, 01-Jan-00 00:00:00 GMT", "2000"),
            (in_1999, "Saturday, 01-Jan-50 00:00:00 GMT", "1950"),
            (in_1999, "Saturday, 01-Jan-49 00:00:00 GMT", "2049"),
            (in_2080, "Saturday, 01-Jan-05 00:00:00 GMT", "2105"),
            (in_2080, "Saturday, 01-Jan-79 00:00:00 GMT", "2079"),
        ];
        for (now, value, year) in table {
            let found = HttpDate::parse(value, now).unwrap().to_string();
            assert_eq!(&found[12..16], year, "{value} at {now}");
        }
        // The leap day is in the chosen year.
        let leap_day = "Thursday, 29-Feb-00 00:00:00 GMT";
        assert!(HttpDate::parse(leap_day, now()).is_some());
        assert!(HttpDate::parse(leap_day, in_2080).is_none());
        // At the limits of the calendar there may be no such year.
        assert!(HttpDate::parse("Sunday, 01-Jan-99 00:00:00 GMT", HttpDate::MIN).is_none());
        assert!(HttpDate::parse("Sunday, 01-Jan-49 00:00:00 GMT", HttpDate::MAX).is_none());
    }

    #[test]
    fn fractions_are_cut_towards_the_past() {
        let epoch = SystemTime::UNIX_EPOCH;
        // Windows counts time in steps of 100 ns.
        let table = [
            (epoch, 0),
            (epoch + Duration::from_nanos(999_999_900), 0),
            (epoch + Duration::from_nanos(1_000_000_000), 1),
            (epoch - Duration::from_nanos(100), -1),
            (epoch - Duration::from_nanos(1_000_000_000), -1),
            (epoch - Duration::from_nanos(1_000_000_100), -2),
        ];
        for (time, unix) in table {
            assert_eq!(HttpDate::from(time).unix(), unix, "{time:?}");
        }
    }

    #[test]
    fn times_out_of_range_are_clamped() {
        let epoch = SystemTime::UNIX_EPOCH;
        for shift in [40, 62] {
            let distance = Duration::from_secs(1 << shift);
            let (after, before) = (epoch.checked_add(distance), epoch.checked_sub(distance));
            // Windows has no such times.
            assert_eq!(cfg!(windows), after.is_none() && before.is_none());
            assert!(after.is_none_or(|time| HttpDate::from(time) == HttpDate::MAX));
            assert!(before.is_none_or(|time| HttpDate::from(time) == HttpDate::MIN));
        }
        assert_eq!(HttpDate::from_unix(i64::MIN), HttpDate::MIN);
        assert_eq!(HttpDate::from_unix(i64::MAX), HttpDate::MAX);
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut unix = HttpDate::MIN.unix;
        let mut last = Civil::from_date(HttpDate::MIN);
        while unix < HttpDate::MAX.unix - DAY {
            unix += DAY;
            let civil = Civil::from_date(HttpDate { unix });
            assert!(last < civil && civil.day <= last.day + 1, "{unix}");
            assert_eq!(civil.to_date(), Some(HttpDate { unix }));
            last = civil;
        }
        assert!(last.year == 9999 && last.month == 12 && last.day == 31);
    }

    proptest! {
        #[test]
        fn any_bytes(value: Vec<u8>, now: i64) {
            let _ = HttpDate::parse(&value, HttpDate::from_unix(now));
        }

        #[test]
        fn nearly_a_date(value in "[SF][unri]{2}(day)?,? ?[0-9 ]{1,2}[ -][NJ][aovn]{2}[ -][0-9]{1,5} [0-9:]{8} (GMT)?") {
            if let Some(date) = HttpDate::parse(&value, now()) {
                prop_assert!((HttpDate::MIN..=HttpDate::MAX).contains(&date));
            }
        }

        #[test]
        fn written_dates_come_back(unix in HttpDate::MIN.unix..=HttpDate::MAX.unix, now: i64) {
            let date = HttpDate::from_unix(unix);
            let now = HttpDate::from_unix(now);
            prop_assert_eq!(HttpDate::parse(&date.to_bytes(), now), Some(date));
            prop_assert_eq!(HttpDate::parse(&date.to_header_value(), now), Some(date));
            prop_assert_eq!(date.to_string().into_bytes(), date.to_bytes());
            match date.to_system_time() {
                Some(time) => prop_assert_eq!(HttpDate::from(time), date),
                // The times of Windows begin in 1601.
                None => prop_assert!(cfg!(windows) && unix < -11_644_473_600),
            }
        }
    }
}
