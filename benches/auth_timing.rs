//! Whether the time of a refusal tells why it was refused: `cargo bench --bench auth_timing`.
//!
//! As dudect does ("dude, is my code constant time?", Reparaz, Balasch and Verbauwhede, 2017): requests of
//! two classes in random order, the time of each, and Welch's t of the two means, of all times and of those
//! below some quantiles, since what disturbs a measurement only ever adds to it. Above 4.5 the classes differ.
//!
//! The last case is one that does tell, so that it is seen that the instrument would notice.

mod base64;

use std::hint::black_box;
use std::pin::pin;
use std::process::ExitCode;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use vestibule::auth::jwt::{Algorithm, Jwt, Key};
use vestibule::auth::{
    ApiKey, Basic, Bearer, Htpasswd, Identity, Lockout, PasswordHash, Scheme, SignedUrl, Tokens,
    Verdict,
};
use vestibule::prelude::*;

use base64::base64;

/// What is measured: makes a request of a class, and answers it.
struct Case {
    name: &'static str,
    classes: [&'static str; 2],
    samples: usize,
    make: Box<dyn Fn(bool, &mut Random) -> Request>,
    run: Box<dyn Fn(&Request)>,
    tells: bool,
}

fn case<S: Scheme>(
    name: &'static str,
    classes: [&'static str; 2],
    scheme: S,
    make: impl Fn(bool, &mut Random) -> Request + 'static,
) -> Case {
    let run = move |request: &Request| {
        let mut identify = pin!(scheme.identify(request));
        match identify
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(verdict) => assert!(matches!(black_box(verdict), Verdict::Refused(_))),
            Poll::Pending => panic!("nothing to wait for"),
        }
    };
    Case {
        name,
        classes,
        samples: SAMPLES,
        make: Box::new(make),
        run: Box::new(run),
        tells: false,
    }
}

fn authorization(scheme: &str, credential: &str) -> Request {
    let mut request = Request::default();
    let value = HeaderValue::try_from(format!("{scheme} {credential}"));
    let value = value.expect("credentials of ours are values");
    request.headers_mut().insert(AUTHORIZATION, value);
    request
}

/// A wrong password of one of 64 users, or of 64 names that nobody has.
fn users(is_known: bool, random: &mut Random) -> Request {
    let kind = if is_known { "known" } else { "other" };
    let name = format!("{kind}{:02}:wrong password", random.next() % 64);
    authorization("Basic", &base64(name.as_bytes()))
}

fn basic(stored: impl Fn(usize) -> PasswordHash) -> Basic {
    let users = (0..64).fold(Htpasswd::new(), |users, n| {
        users.with_hash(format!("known{n:02}"), stored(n))
    });
    // Failures are counted, and nobody is locked out.
    Basic::new(users).lockout(Lockout::new().by_user(u32::MAX).by_address(u32::MAX))
}

/// `text` with another byte at its beginning or at its end.
fn spoiled(text: &str, at_the_end: bool) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = if at_the_end { bytes.len() - 1 } else { 0 };
    // Another digit of Base64 that is a good last one as well: its unused bits stay zero.
    bytes[at] = if bytes[at] == b'Q' { b'g' } else { b'Q' };
    String::from_utf8(bytes).expect("it stays ASCII")
}

const ENDS: [&str; 2] = ["wrong in its first byte", "in its last"];
const TOKEN: &str = "mF_9.B5f-4.1JqMmF_9.B5f-4.1JqMmF_9.B5f-4.1JqMmF_9.B5f-4.1JqMmF_9";

fn cases() -> Vec<Case> {
    let names = ["a known user", "an unknown one"];
    let tokens = || Tokens::new().with(TOKEN, Identity::new("ci", "Bearer"));
    let key = Key::hmac(Algorithm::HS256, [7; 32]).expect("a key of 32 bytes");
    let links = SignedUrl::new([7; 32]);
    let link = links.sign("/video.mp4", std::time::Duration::from_secs(3600));
    let (text, signature) = link
        .rsplit_once("signature=")
        .expect("a link has a signature");
    let (text, signature) = (format!("{text}signature="), signature.to_owned());
    let sha = |_| PasswordHash::parse("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=").expect("a hash");
    let apr1 = |_| PasswordHash::parse("$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/").expect("a hash");
    let in_code = (0..64).fold(Htpasswd::new(), |users, n| {
        users.with_user(format!("known{n:02}"), "right password")
    });
    let in_code = Basic::new(in_code).lockout(None);
    let (token, signed) = JWT.rsplit_once('.').expect("a token has a signature");
    vec![
        case("Basic, users of code", names, in_code, users),
        case("Basic, {SHA}", names, basic(sha), users),
        Case {
            // A check takes a third of a millisecond.
            samples: SAMPLES / 50,
            ..case("Basic, apr1", names, basic(apr1), users)
        },
        case(
            "Bearer, a token of a list",
            ENDS,
            Bearer::new(tokens()),
            |at_the_end, _| authorization("Bearer", &spoiled(TOKEN, at_the_end)),
        ),
        case("ApiKey", ENDS, ApiKey::new(tokens()), |at_the_end, _| {
            let mut request = Request::default();
            let value = HeaderValue::try_from(spoiled(TOKEN, at_the_end)).expect("a value");
            request.headers_mut().insert("x-api-key", value);
            request
        }),
        case(
            "a JWT's signature, HS256",
            ENDS,
            Jwt::<serde::de::IgnoredAny>::new(key),
            move |at_the_end, _| {
                authorization(
                    "Bearer",
                    &format!("{token}.{}", spoiled(signed, at_the_end)),
                )
            },
        ),
        case("a link's signature", ENDS, links, move |at_the_end, _| {
            let mut request = Request::default();
            let target = format!("{text}{}", spoiled(&signature, at_the_end));
            *request.uri_mut() = target.parse().expect("a link is a URI");
            request
        }),
        Case {
            name: "`==` on the same tokens, which tells",
            classes: ENDS,
            samples: SAMPLES,
            make: Box::new(|at_the_end, _| authorization("Bearer", &spoiled(TOKEN, at_the_end))),
            run: Box::new(|request| {
                let value = &request.headers()[AUTHORIZATION].as_bytes()["Bearer ".len()..];
                let is_same = value
                    .iter()
                    .zip(TOKEN.as_bytes())
                    .all(|(a, b)| black_box(a == b));
                assert!(!is_same);
            }),
            tells: true,
        },
    ]
}

/// A token with HS256 under 32 bytes of 7.
const JWT: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImV4cCI6OTk5OTk5OTk5OSwiaXNzIjoiaHR0cHM6Ly9pZC5leGFtcGxlIiwiYXVkIjoic2hvcCIsInNjb3BlIjoicmVhZCB3cml0ZSIsInBsYW4iOiJnb2xkIn0.g5VaoTZVGhXguM6e0x7nZfjv0ZmrVVcLKb78YDs412Q";

/// The times of both classes, in nanoseconds.
fn measure(case: &Case, samples: usize) -> [Vec<u32>; 2] {
    let mut random = Random::new();
    let mut times = [Vec::with_capacity(samples), Vec::with_capacity(samples)];
    let warm_up = samples / 20;
    for n in 0..samples + warm_up {
        let class = random.next() % 2 == 1;
        let request = (case.make)(class, &mut random);
        let start = Instant::now();
        (case.run)(&request);
        let took = start.elapsed().as_nanos() as u32;
        if n >= warm_up {
            times[usize::from(class)].push(took);
        }
    }
    times
}

/// The greatest |t|, of all times and of those below the quantiles.
fn greatest_t(times: &[Vec<u32>; 2]) -> f64 {
    let mut all: Vec<u32> = times.concat();
    all.sort_unstable();
    let limits = QUANTILES.map(|quantile| all[((all.len() - 1) as f64 * quantile) as usize]);
    let below = |limit: u32| t(times.each_ref().map(|times| moments(times, limit)));
    limits
        .into_iter()
        .map(below)
        .fold(0.0, |most: f64, t| most.max(t.abs()))
}

/// Count, mean and variance of the times up to `limit`.
fn moments(times: &[u32], limit: u32) -> (f64, f64, f64) {
    let kept = || {
        times
            .iter()
            .filter(|time| **time <= limit)
            .map(|time| f64::from(*time))
    };
    let count = kept().count() as f64;
    let mean = kept().sum::<f64>() / count;
    let variance = kept().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (count, mean, variance)
}

/// Welch's t.
fn t([(n, mean, variance), (m, other, spread)]: [(f64, f64, f64); 2]) -> f64 {
    (mean - other) / (variance / n + spread / m).sqrt()
}

/// Both distributions, line by line, up to where 99 of 100 times are.
fn plot(case: &Case, times: &[Vec<u32>; 2]) {
    let mut all: Vec<u32> = times.concat();
    all.sort_unstable();
    let (low, high) = (all[all.len() / 1000], all[all.len() / 100 * 99]);
    let step = ((high - low) / LINES).max(1);
    println!(
        "\n{}, ns: {} (#), {} (o)",
        case.name, case.classes[0], case.classes[1]
    );
    let shares = |from: u32| {
        times.each_ref().map(|times| {
            let inside = times
                .iter()
                .filter(|time| (from..from + step).contains(*time));
            inside.count() as f64 / times.len() as f64
        })
    };
    let lines: Vec<_> = (0..=LINES)
        .map(|line| low + line * step)
        .map(|at| (at, shares(at)))
        .collect();
    let most = lines
        .iter()
        .flat_map(|(_, shares)| *shares)
        .fold(0.0, f64::max);
    for (at, shares) in lines {
        let [first, second] = shares.map(|share| (share / most * 36.0).round() as usize);
        println!(
            "{at:>8} {:<36} {:<36}",
            "#".repeat(first),
            "o".repeat(second)
        );
    }
}

fn main() -> ExitCode {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let mut is_met = true;
    let mut plots = Vec::new();
    for case in cases() {
        let samples = if is_bench { case.samples } else { 100 };
        let times = measure(&case, samples);
        let t = greatest_t(&times);
        let is_good = (t < BAR) != case.tells;
        let verdict = match (case.tells, is_good) {
            (false, true) => "met",
            (true, true) => "noticed",
            _ => "NOT MET",
        };
        if is_bench {
            println!(
                "{:<40} {samples:>9} samples, greatest |t| {t:>8.2}: {verdict}",
                case.name
            );
            is_met &= is_good;
            plots.push((case, times));
        }
    }
    for (case, times) in &plots {
        plot(case, times);
    }
    match is_met {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// xorshift64*: which class is next, and nothing that has to be secret.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(now.map_or(1, |now| now.as_nanos() as u64 | 1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }
}

const SAMPLES: usize = 1_000_000;
const BAR: f64 = 4.5;
const QUANTILES: [f64; 6] = [1.0, 0.99, 0.95, 0.9, 0.75, 0.5];
const LINES: u32 = 16;
