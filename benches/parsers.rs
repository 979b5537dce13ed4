//! Measures parsers with hostile field values: their time must be linear in the length, and short.
//!
//! `cargo bench --bench parsers` gives each parser values of 32 KiB and of 64 KiB of what parsers stumble over, and
//! counts instructions with valgrind's callgrind: of each pair the longer may cost 2.3 times the shorter, and no
//! value more than 2 ms. It prints the worst of each parser, and fails when a bar is not met.

mod count;

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use vestibule_fields::accept_encoding::AcceptEncoding;
use vestibule_fields::authorization::Authorization;
use vestibule_fields::cache_control::CacheControl;
use vestibule_fields::date::HttpDate;
use vestibule_fields::etag::{ETag, ETagList};
use vestibule_fields::forwarded::Forwarded;
use vestibule_fields::host::Host;
use vestibule_fields::if_range::IfRange;
use vestibule_fields::media_type::MediaType;
use vestibule_fields::quality::Weights;
use vestibule_fields::range::Range;
use vestibule_fields::{list, trace_context};

/// A parser, what its hostile values begin with, and all that is asked of it.
type Parser = (&'static str, &'static str, fn(&str));

const PARSERS: &[Parser] = &[
    ("Accept-Encoding", "", |value| {
        black_box(AcceptEncoding::parse(value).choose(&["zstd", "br", "gzip", "deflate"]));
    }),
    ("Accept", "a/b;", |value| {
        let weights = Weights::parse(value);
        let parameters = weights.iter().map(|weight| weight.parameters().count());
        black_box(parameters.sum::<usize>());
    }),
    ("Authorization", "a ", |value| {
        let found = Authorization::parse(value);
        black_box(found.map(|found| (found.token68().is_some(), found.parameter("q"))));
    }),
    ("Cache-Control", "", |value| {
        black_box(CacheControl::parse(value));
    }),
    ("dates", "Sun, ", |value| {
        black_box(HttpDate::parse(value, HttpDate::MIN));
    }),
    ("If-None-Match", "\"a\",", |value| {
        if let Some(tag) = ETag::parse("\"b\"") {
            black_box(ETagList::parse(value).weak_match(&tag));
        }
    }),
    ("Forwarded", "for=", |value| {
        black_box(Forwarded::parse(value).hops());
    }),
    ("Host", "[", |value| {
        black_box(Host::parse(value));
    }),
    ("If-Range", "\"", |value| {
        black_box(IfRange::parse(value, HttpDate::MIN));
    }),
    ("Content-Type", "a/b;", |value| {
        let found = MediaType::parse(value);
        black_box(found.map(|found| found.parameters().count()));
    }),
    ("Range", "bytes=0-0,", |value| {
        black_box(Range::parse(value).map(|range| range.within(1000)));
    }),
    ("traceparent, tracestate", "a=", |value| {
        black_box(trace_context::TraceParent::parse(value));
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(trace_context::TRACESTATE, value);
            black_box(trace_context::state_from_headers(&headers));
        }
    }),
    ("quoted strings", "\"", |value| {
        black_box(list::unquote(value.as_bytes()));
    }),
];

const SEEDS: &[&str] = &[
    ",",
    ";",
    "\"",
    "\\",
    "\"\\",
    "=",
    " ",
    "\t",
    ";q=",
    ";;;,,,q=",
    "a",
    "a,",
    "a;",
    "a=\"\\",
    "W/\"",
    "\"a\",",
    "\"a\" ",
    "*,",
    "*;q=0,",
    "gzip;q=0,",
    "0-1,",
    "-",
    "9",
    "[",
    "]",
    ":",
    "%41",
    "max-age=9,",
    "for=\"[::1]\",",
    "a/b;c=\"",
];

const SHORT: usize = 32 << 10;
const LONG: usize = 64 << 10;

/// All values of `length` bytes for a parser: each seed, alone and after what the field begins with.
fn values(prefix: &str, length: usize) -> impl Iterator<Item = String> {
    let prefixes = if prefix.is_empty() {
        vec![""]
    } else {
        vec!["", prefix]
    };
    let values = prefixes.into_iter().flat_map(move |prefix| {
        let value = move |seed: &&str| prefix.to_owned() + &seed.repeat(length / seed.len());
        SEEDS.iter().map(value).collect::<Vec<_>>()
    });
    values.collect::<Vec<_>>().into_iter()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["--counted"] {
        all(|parse, value| counted_by_callgrind(parse, value));
        return ExitCode::SUCCESS;
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        all(|parse, value| parse(value));
    }
    count::run(&[], |_| {
        let counts = counts();
        let mut counts = counts.iter();
        println!(
            "{:<24} {:>16} {:>8} {:>8}",
            "the worst 64 KiB of", "instructions", "to 32", "ms"
        );
        let (mut steepest, mut slowest) = (0.0_f64, 0.0_f64);
        for (name, prefix, parse) in PARSERS {
            let mut next = || counts.next().copied().expect("a count for each value");
            let pairs = values(prefix, LONG).map(|value| (value, next(), next()));
            let (mut most, mut ratio, mut time) = (0.0_f64, 0.0_f64, 0.0_f64);
            for (value, short, long) in pairs {
                most = most.max(long);
                ratio = ratio.max(long / short);
                time = time.max(milliseconds(|| parse(&value)));
            }
            println!("{name:<24} {most:>16.0} {ratio:>8.2} {time:>8.3}");
            (steepest, slowest) = (steepest.max(ratio), slowest.max(time));
        }
        vec![
            count::at_most(
                "instructions for 64 KiB, to those for 32 KiB",
                steepest,
                2.3,
            ),
            count::at_most("CPU time for 64 KiB: ms", slowest, 2.0),
        ]
    })
}

/// Each parser with each value, the short and then the long one.
fn all(mut measure: impl FnMut(fn(&str), &str)) {
    for (_, prefix, parse) in PARSERS {
        for (short, long) in values(prefix, SHORT).zip(values(prefix, LONG)) {
            measure(*parse, &short);
            measure(*parse, &long);
        }
    }
}

/// Callgrind counts what happens inside of this, and writes it down at each return.
#[inline(never)]
fn counted_by_callgrind(parse: fn(&str), value: &str) {
    parse(black_box(value));
    // Else the call would be a jump, and nothing would return to here.
    black_box(value);
}

/// The instructions of each call of [`counted_by_callgrind`], in their order.
fn counts() -> Vec<f64> {
    let directory = std::env::temp_dir().join(format!("vestibule-parsers-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory for the counts");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--compress-strings=no"])
        .args([
            format!("--zero-before={COUNTED}"),
            format!("--dump-after={COUNTED}"),
        ])
        .arg(format!(
            "--callgrind-out-file={}/count",
            directory.display()
        ))
        .arg(std::env::current_exe().expect("a program has a path"))
        .arg("--counted")
        .output()
        .expect("valgrind counts the instructions: install the Debian package `valgrind`");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let part = |number: usize| total(&directory.join(format!("count.{number}")));
    let counts = (1..).map_while(part).collect();
    let _ = std::fs::remove_dir_all(&directory);
    counts
}

const COUNTED: &str = "parsers::counted_by_callgrind";

/// The total of one output file of callgrind.
fn total(file: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("summary: "));
    line?.trim().parse().ok()
}

/// The CPU time of a call: the least of a few.
fn milliseconds(call: impl Fn()) -> f64 {
    let time = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(
            time.tv_sec.unsigned_abs(),
            time.tv_nsec.unsigned_abs() as u32,
        )
    };
    let once = |_| {
        let start = time();
        call();
        time().saturating_sub(start)
    };
    (0..9).map(once).min().unwrap_or_default().as_secs_f64() * 1e3
}
