//! Times as the C library writes them, in time zones of every kind.

use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use vestibule_logging::{AccessLog, Format, Record, Sink, Zone};

use crate::support::{ask, get};

/// A record of any request, to be given other times.
async fn record() -> Record {
    let found = Arc::new(Mutex::new(None));
    let noted = found.clone();
    let sink = Sink::from_fn(move |record| *noted.lock().unwrap() = Some(record.clone()));
    let app = AccessLog::new(|_: vestibule_core::Request| async {}).to(sink);
    ask(&app, get("/")).await;
    let record = found.lock().unwrap().take();
    record.unwrap()
}

/// Every directive of `strftime`, at moments of all years, weeks and changes of the clock, beside Python's, which asks the
/// C library.
#[cfg(feature = "local-time")]
#[tokio::test]
async fn every_directive_is_that_of_the_c_library() {
    const DIRECTIVES: &str = "%a|%A|%b|%B|%c|%C|%d|%D|%e|%F|%g|%G|%H|%I|%j|%k|%l|%m|%M|%p|%P|%r|%R|%s|%S|%T|%u|%U|%V|%w|%W|%x|%X|%y|%Y|%z|%Z|%%";
    // 27 years in steps of five days and a bit, and each hour around the changes of 2026.
    let steps = (0..2_000_u64).map(|step| 946_684_800 + step * 433_011);
    let hours = |day: u64| (0..72).map(move |hour| day + hour * 3_600 - 36 * 3_600);
    let times: Vec<u64> = steps
        .chain(hours(1_774_746_000))
        .chain(hours(1_792_890_000))
        .collect();
    let program = "
import sys, time
for line in sys.stdin:
    print(time.strftime(sys.argv[1], time.localtime(int(line))))
";
    let input: String = times.iter().map(|time| format!("{time}\n")).collect();
    let mut record = record().await;
    for name in [
        "UTC",
        "Europe/Paris",
        "America/St_Johns",
        "Pacific/Kiritimati",
        "Asia/Kathmandu",
    ] {
        let program =
            format!("import os, time\nos.environ['TZ'] = {name:?}\ntime.tzset()\n{program}");
        let theirs =
            crate::support::run("python3", &["-c", &program, DIRECTIVES], &input, "tzdata");
        let zone: Zone = name.parse().unwrap();
        let format = Format::apache(&format!("%{{{DIRECTIVES}}}t"))
            .unwrap()
            .zone(zone);
        for (time, want) in times.iter().zip(theirs.lines()) {
            record.time = UNIX_EPOCH + Duration::from_secs(*time);
            assert_eq!(format.line(&record), want, "{name} {time}");
        }
        assert_eq!(theirs.lines().count(), times.len());
    }
}

#[tokio::test]
async fn every_format_has_the_zone() {
    let mut record = record().await;
    record.time = UNIX_EPOCH + Duration::from_secs(971_186_136);
    let zone: Zone = "-03:30".parse().unwrap();
    let apache = r"%t %{%T %Z}t %{sec}t %{end:%z}t";
    for (format, utc, there) in [
        (
            "common",
            "[10/Oct/2000:13:55:36 +0000]",
            "[10/Oct/2000:10:25:36 -0330]",
        ),
        (
            "combined",
            "[10/Oct/2000:13:55:36 +0000]",
            "[10/Oct/2000:10:25:36 -0330]",
        ),
        (
            "json",
            "\"2000-10-10T13:55:36.000000Z\"",
            "\"2000-10-10T10:25:36.000000-03:30\"",
        ),
        (
            "logfmt",
            "time=2000-10-10T13:55:36.000000Z ",
            "time=2000-10-10T10:25:36.000000-03:30 ",
        ),
        ("short", "13:55:36 ", "10:25:36 "),
        (
            apache,
            "[10/Oct/2000:13:55:36 +0000] 13:55:36 UTC 971186136 +0000",
            "[10/Oct/2000:10:25:36 -0330] 10:25:36 -0330 971186136 -0330",
        ),
    ] {
        let format: Format = format.parse().unwrap();
        let line = format.line(&record);
        assert!(line.contains(utc), "{line}");
        let line = format.zone(zone.clone()).line(&record);
        assert!(line.contains(there), "{line}");
    }
    let json = Format::json().zone(zone).line(&record);
    crate::lines::validate(&format!("{json}\n"));
}
