//! Moments as text: of the common log format, of RFC 3339, and by `strftime`.
//!
//! Source: POSIX.1-2024, `strftime`, in the locale `C`, which Apache's `%{...}t` passes its format to; ISO 8601 for
//! the numbers of weeks.

use std::io::Write;
use std::time::{Duration, SystemTime};

use super::zone::{Zone, write_offset};

/// A moment in a time zone, in the parts that people write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment<'a> {
    pub(super) year: i64,
    /// 1 to 12.
    pub(super) month: usize,
    pub(super) day: u64,
    pub(super) hour: u64,
    pub(super) minute: u64,
    pub(super) second: u64,
    pub(super) nanos: u32,
    /// Seconds since 1970 in UTC.
    pub(super) unix: u64,
    /// Seconds since 1970 by the clocks of the zone.
    local: u64,
    /// Seconds east of Greenwich.
    offset: i32,
    zone: &'a Zone,
}

impl<'a> Moment<'a> {
    /// Times before 1970 are 1970: a log has none.
    pub(super) fn of(time: SystemTime, zone: &'a Zone) -> Self {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let unix = since.as_secs();
        let offset = zone.offset(unix);
        let local = unix.saturating_add_signed(offset.into());
        let (days, second) = (local / 86_400, local % 86_400);
        // Days since 0000-03-01, in eras of 400 years: Hinnant, "chrono-Compatible Low-Level Date Algorithms".
        let z = days + 719_468;
        let (era, day) = (z / 146_097, z % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let shifted = (5 * day + 2) / 153;
        let month = if shifted < 10 {
            shifted + 3
        } else {
            shifted - 9
        };
        Self {
            year: (year + era * 400 + u64::from(month <= 2)) as i64,
            month: month as usize,
            day: day - (153 * shifted + 2) / 5 + 1,
            hour: second / 3_600,
            minute: second / 60 % 60,
            second: second % 60,
            nanos: since.subsec_nanos(),
            unix,
            local,
            offset,
            zone,
        }
    }

    /// `10/Oct/2000:13:55:36 +0000`.
    pub(super) fn write_clf(&self, line: &mut Vec<u8>) {
        two(self.day, line);
        line.push(b'/');
        line.extend_from_slice(&MONTHS[self.month - 1].as_bytes()[..3]);
        line.push(b'/');
        four(self.year, line);
        for part in [self.hour, self.minute, self.second] {
            line.push(b':');
            two(part, line);
        }
        line.push(b' ');
        write_offset(self.offset, "", line);
    }

    /// `2000-10-10T13:55:36.000123Z`, or with an offset as `+02:00`.
    pub(super) fn write_rfc3339(&self, line: &mut Vec<u8>) {
        four(self.year, line);
        line.push(b'-');
        two(self.month as u64, line);
        line.push(b'-');
        two(self.day, line);
        line.push(b'T');
        self.write_clock(line);
        let _ = write!(line, ".{:06}", self.nanos / 1_000);
        match self.zone.is_utc() {
            true => line.push(b'Z'),
            false => write_offset(self.offset, ":", line),
        }
    }

    /// `13:55:36`.
    pub(super) fn write_clock(&self, line: &mut Vec<u8>) {
        two(self.hour, line);
        line.push(b':');
        two(self.minute, line);
        line.push(b':');
        two(self.second, line);
    }

    /// 0 is Sunday.
    fn weekday(&self) -> u64 {
        (self.local / 86_400 + 4) % 7
    }

    /// 1 to 366.
    fn day_of_year(&self) -> u64 {
        let leap = u64::from(is_leap(self.year) && self.month > 2);
        BEFORE[self.month - 1] + leap + self.day
    }

    /// The year and the week by ISO 8601: weeks begin on Monday, and the first has the year's first Thursday.
    fn iso_week(&self) -> (i64, u64) {
        // Of the Thursday of this week, which decides the year; 1 is Monday.
        let weekday = (self.weekday() + 6) % 7 + 1;
        let thursday = self.day_of_year() + 4;
        let days = |year| if is_leap(year) { 366 } else { 365 };
        let week = |day: u64| (day - 1) / 7 + 1;
        match thursday.checked_sub(weekday) {
            None | Some(0) => (
                self.year - 1,
                week(thursday + days(self.year - 1) - weekday),
            ),
            Some(day) if day > days(self.year) => (self.year + 1, 1),
            Some(day) => (self.year, week(day)),
        }
    }

    /// Writes one directive of `strftime`, as `Y` of `%Y`; `false` when it is not known.
    pub(super) fn write_strftime(&self, directive: char, line: &mut Vec<u8>) -> bool {
        let twelve = (self.hour + 11) % 12 + 1;
        // Writing to memory does not fail.
        let _ = match directive {
            'Y' => write!(line, "{}", self.year),
            'C' => write!(line, "{:02}", self.year / 100),
            'y' => write!(line, "{:02}", self.year % 100),
            'm' => write!(line, "{:02}", self.month),
            'd' => write!(line, "{:02}", self.day),
            'e' => write!(line, "{:2}", self.day),
            'H' => write!(line, "{:02}", self.hour),
            'k' => write!(line, "{:2}", self.hour),
            'I' => write!(line, "{twelve:02}"),
            'l' => write!(line, "{twelve:2}"),
            'M' => write!(line, "{:02}", self.minute),
            'S' => write!(line, "{:02}", self.second),
            'p' => write!(line, "{}", if self.hour < 12 { "AM" } else { "PM" }),
            'P' => write!(line, "{}", if self.hour < 12 { "am" } else { "pm" }),
            'b' | 'h' => write!(line, "{}", &MONTHS[self.month - 1][..3]),
            'B' => write!(line, "{}", MONTHS[self.month - 1]),
            'a' => write!(line, "{}", &DAYS[self.weekday() as usize][..3]),
            'A' => write!(line, "{}", DAYS[self.weekday() as usize]),
            'w' => write!(line, "{}", self.weekday()),
            'u' => write!(line, "{}", (self.weekday() + 6) % 7 + 1),
            'j' => write!(line, "{:03}", self.day_of_year()),
            's' => write!(line, "{}", self.unix),
            // Weeks that begin on Sunday and on Monday; the days before the first of them are week 0.
            'U' => write!(line, "{:02}", (self.day_of_year() + 6 - self.weekday()) / 7),
            'W' => write!(
                line,
                "{:02}",
                (self.day_of_year() + 6 - (self.weekday() + 6) % 7) / 7
            ),
            'V' => write!(line, "{:02}", self.iso_week().1),
            'G' => write!(line, "{}", self.iso_week().0),
            'g' => write!(line, "{:02}", self.iso_week().0 % 100),
            'z' => {
                write_offset(self.offset, "", line);
                Ok(())
            }
            'Z' => {
                self.zone.write_name(self.unix, line);
                Ok(())
            }
            'n' | 't' => write!(line, " "),
            '%' => write!(line, "%"),
            'T' | 'X' => return self.write_all("H:M:S", line),
            'R' => return self.write_all("H:M", line),
            'r' => return self.write_all("I:M:S p", line),
            'F' => return self.write_all("Y-m-d", line),
            'D' | 'x' => return self.write_all("m/d/y", line),
            'c' => return self.write_all("a b e H:M:S Y", line),
            _ => return false,
        };
        true
    }
}

impl Moment<'_> {
    /// Writes several directives, their letters without `%`.
    fn write_all(&self, pattern: &str, line: &mut Vec<u8>) -> bool {
        pattern.chars().all(|c| match c.is_ascii_alphabetic() {
            true => self.write_strftime(c, line),
            false => {
                line.push(c as u8);
                true
            }
        })
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn two(number: u64, line: &mut Vec<u8>) {
    line.push(b'0' + (number / 10 % 10) as u8);
    line.push(b'0' + (number % 10) as u8);
}

fn four(number: i64, line: &mut Vec<u8>) {
    two(number as u64 / 100, line);
    two(number as u64 % 100, line);
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// Days before each month of a common year.
const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

#[cfg(test)]
mod tests {
    use vestibule_fields::date::HttpDate;

    use super::*;

    fn at(unix: u64) -> Moment<'static> {
        const UTC: &Zone = &Zone::utc();
        Moment::of(SystemTime::UNIX_EPOCH + Duration::from_secs(unix), UTC)
    }

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut line = Vec::new();
        write(&mut line);
        String::from_utf8(line).unwrap()
    }

    /// Our calendar and the one of `vestibule-fields` are two; they agree over two centuries.
    #[test]
    fn agrees_with_http_dates() {
        for unix in (0..7_000_000_000_u64).step_by(12_345_677) {
            let imf = HttpDate::from_unix(unix as i64).to_bytes();
            let ours = text(|line| {
                for c in "a, d b Y H:M:S GMT".chars() {
                    let is_literal = !c.is_ascii_alphabetic() || "GT".contains(c);
                    let is_month = c == 'M' && line.ends_with(b"G");
                    match is_literal || is_month {
                        true => line.push(c as u8),
                        false => assert!(at(unix).write_strftime(c, line)),
                    }
                }
            });
            assert_eq!(ours.as_bytes(), imf, "{unix}");
        }
    }

    #[test]
    fn forms() {
        let moment = at(971_186_136);
        assert_eq!(
            text(|line| moment.write_clf(line)),
            "10/Oct/2000:13:55:36 +0000"
        );
        assert_eq!(
            text(|line| moment.write_rfc3339(line)),
            "2000-10-10T13:55:36.000000Z"
        );
        let cases = [
            ('F', "2000-10-10"),
            ('j', "284"),
            ('c', "Tue Oct 10 13:55:36 2000"),
            ('r', "01:55:36 PM"),
            ('u', "2"),
            ('s', "971186136"),
            ('e', "10"),
        ];
        for (directive, want) in cases {
            assert_eq!(
                text(|line| assert!(moment.write_strftime(directive, line))),
                want
            );
        }
        assert!(!moment.write_strftime('Q', &mut Vec::new()));
    }
}
