//! Whether the time of a refusal tells why it was refused: `cargo bench --bench auth_timing`.
//!
//! As dudect does ("dude, is my code constant time?", Reparaz, Balasch and Verbauwhede, 2017): requests of
//! two classes in random order, the time of each, and Welch's t of the two means, of all times and of those
//! below some quantiles, since what disturbs a measurement only ever adds to it. Above 4.5 the classes differ.
//!
//! The requests of both classes are the same; only what they are compared with is not. So what is seen is the
//! secret, and not that some texts are read sooner than others.
//!
//! The last case is one that does tell, so that it is seen that the instrument would notice.

use std::hint::black_box;
use std::pin::pin;
use std::process::ExitCode;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use http::header::AUTHORIZATION;
use sha2::Sha256;
use vestibule::auth::jwt::{Algorithm, Jwt, Key};
use vestibule::auth::{
    ApiKey, Basic, Bearer, Htpasswd, Identity, PasswordHash, Reason, Refusal, Scheme, SignedUrl,
    Tokens, Verdict,
};
use vestibule::fields::www_authenticate::Challenge;
use vestibule::prelude::*;

/// One measurement: requests of two classes, each for one of the `answer`s.
struct Case {
    name: &'static str,
    classes: [&'static str; 2],
    samples: usize,
    make: Make,
    answer: Box<dyn Fn() -> Answer>,
    tells: bool,
}

/// Makes a request of a class, for one of some schemes.
type Make = Box<dyn Fn(bool, &mut Random) -> (Request, usize)>;
/// Answers a request by one of them.
type Answer = Box<dyn Fn(&Request, usize)>;

impl Case {
    /// `make` returns a request of a class, and the index of its scheme. Schemes are rebuilt all the time,
    /// each with its own random keys, so the addresses of their data do not matter.
    fn new<S: Scheme>(
        name: &'static str,
        classes: [&'static str; 2],
        schemes: impl Fn() -> Vec<S> + 'static,
        make: impl Fn(bool, &mut Random) -> (Request, usize) + 'static,
    ) -> Self {
        let answer = move || {
            let schemes = schemes();
            Box::new(move |request: &Request, which: usize| answer(&schemes[which], request))
                as Answer
        };
        Self {
            name,
            classes,
            samples: SAMPLES,
            make: Box::new(make),
            answer: Box::new(answer),
            tells: false,
        }
    }
}

fn answer(scheme: &impl Scheme, request: &Request) {
    let mut identify = pin!(scheme.identify(request));
    let mut cx = Context::from_waker(Waker::noop());
    match identify.as_mut().poll(&mut cx) {
        Poll::Ready(verdict) => assert!(matches!(black_box(verdict), Verdict::Refused(_))),
        Poll::Pending => panic!("nothing to wait for"),
    }
}

/// Two schemes, with users of different names. A request is for a user of the one or of the other, and is
/// sent to the one that knows him or to the other that does not: so both classes are the same requests.
fn users(name: &'static str, basic: impl Fn(usize) -> Basic + 'static) -> Case {
    let classes = ["an unknown user", "a known one"];
    let schemes = move || vec![basic(0), basic(1)];
    Case::new(name, classes, schemes, |is_known, random| {
        let number = random.next() as usize;
        let (whose, n) = (number % 2, number / 2 % USERS);
        let credential = format!("{}:wrong password", user(whose, n));
        let request = authorization("Basic", &Base64::encode_string(credential.as_bytes()));
        (request, whose ^ usize::from(!is_known))
    })
}

fn user(whose: usize, n: usize) -> String {
    format!("user {whose}{n}")
}

fn basic(whose: usize, stored: impl Fn() -> PasswordHash) -> Basic {
    let users = (0..USERS).fold(Htpasswd::new(), |users, n| {
        users.with_hash(user(whose, n), stored())
    });
    // A lock-out would refuse the samples: it counts unknown names like known ones.
    Basic::new(users).lockout(None)
}

fn in_code(whose: usize) -> Basic {
    let users = (0..USERS).fold(Htpasswd::new(), |users, n| {
        users.with_user(user(whose, n), "right password")
    });
    Basic::new(users).lockout(None)
}

fn stored(text: &'static str) -> impl Fn() -> PasswordHash {
    move || PasswordHash::parse(text).expect("a hash")
}

fn authorization(scheme: &str, credential: &str) -> Request {
    let mut request = Request::default();
    let value = HeaderValue::try_from(format!("{scheme} {credential}"));
    let value = value.expect("credentials of ours are values");
    request.headers_mut().insert(AUTHORIZATION, value);
    request
}

const ENDS: [&str; 2] = ["wrong from its first byte", "in its last eight"];

/// Two lists of tokens. A request has a token of one of them with another end; it is sent to that list or to
/// the other.
fn tokens<S: Scheme>(
    name: &'static str,
    scheme: impl Fn(Tokens) -> S + 'static,
    request: impl Fn(&str) -> Request + 'static,
) -> Case {
    let mut random = Random::new();
    let all: [Vec<String>; 2] = [(); 2].map(|()| (0..TEXTS).map(|_| random.text(64)).collect());
    let known = all.clone();
    let schemes = move || {
        let list = |own: &Vec<String>| {
            own.iter().fold(Tokens::new(), |tokens, token| {
                tokens.with(token, Identity::new("ci", "Bearer"))
            })
        };
        known.iter().map(|own| scheme(list(own))).collect()
    };
    Case::new(name, ENDS, schemes, move |at_the_end, random| {
        let number = random.next() as usize;
        let whose = number % 2;
        let token = random.other_end(&all[whose][number / 2 % TEXTS]);
        (request(&token), whose ^ usize::from(!at_the_end))
    })
}

/// Texts with their signatures. A request has one of the texts, with the signature of it or of another, which has
/// another end.
fn signatures<S: Scheme + Clone>(
    name: &'static str,
    scheme: S,
    signed: Vec<(String, String)>,
    request: impl Fn(&str, &str) -> Request + 'static,
) -> Case {
    Case::new(
        name,
        ENDS,
        move || vec![scheme.clone()],
        move |at_the_end, random| {
            let number = random.next() as usize;
            let own = number % signed.len();
            let other = (own + 1 + number / signed.len() % (signed.len() - 1)) % signed.len();
            let signature = random.other_end(&signed[if at_the_end { own } else { other }].1);
            (request(&signed[own].0, &signature), 0)
        },
    )
}

fn links() -> Case {
    let links = SignedUrl::new([7; 32]);
    let signed = (0..TEXTS).map(|n| {
        let link = links.sign(&format!("/video{n}.mp4"), Duration::from_secs(3600));
        let (text, signature) = link.rsplit_once('=').expect("a link has a signature");
        (text.to_owned(), signature.to_owned())
    });
    let signed = signed.collect();
    signatures("a link's signature", links, signed, |text, signature| {
        let mut request = Request::default();
        let target = format!("{text}={signature}").parse();
        *request.uri_mut() = target.expect("a link is a URI");
        request
    })
}

fn jwt() -> Case {
    let key = Key::hmac(Algorithm::HS256, [7; 32]).expect("a key of 32 bytes");
    let signed = (0..TEXTS).map(|n| {
        let claims = format!(r#"{{"sub":"user{n}","exp":9999999999,"plan":"gold"}}"#);
        let header = Base64UrlUnpadded::encode_string(br#"{"alg":"HS256"}"#);
        let text = format!(
            "{header}.{}",
            Base64UrlUnpadded::encode_string(claims.as_bytes())
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).expect("a key of any length");
        mac.update(text.as_bytes());
        let signature = Base64UrlUnpadded::encode_string(&mac.finalize().into_bytes());
        (text, signature)
    });
    let scheme = Jwt::<serde::de::IgnoredAny>::new(key);
    let name = "a JWT's signature, HS256";
    signatures(name, scheme, signed.collect(), |text, signature| {
        authorization("Bearer", &format!("{text}.{signature}"))
    })
}

/// `==`, byte by byte, on the same tokens.
struct Naive(String);

impl Scheme for Naive {
    fn name(&self) -> &'static str {
        "Naive"
    }

    async fn identify(&self, request: &Request) -> Verdict {
        let value = &request.headers()[AUTHORIZATION].as_bytes()["Bearer ".len()..];
        let mut pairs = value.iter().zip(self.0.as_bytes());
        assert!(!pairs.all(|(a, b)| black_box(a == b)));
        Verdict::Refused(Refusal::new("Naive", Reason::Denied, "it is wrong"))
    }

    fn challenges(&self, _: Option<&Refusal>, _: &mut Vec<Challenge>) {}
}

fn naive() -> Case {
    let mut random = Random::new();
    let own = [(); 2].map(|()| random.text(64));
    let known = own.clone();
    let schemes = move || known.clone().map(Naive).into();
    let make = move |at_the_end: bool, random: &mut Random| {
        let whose = random.next() as usize % 2;
        let request = authorization("Bearer", &random.other_end(&own[whose]));
        (request, whose ^ usize::from(!at_the_end))
    };
    Case {
        tells: true,
        ..Case::new("`==` on tokens, which tells", ENDS, schemes, make)
    }
}

fn cases() -> Vec<Case> {
    let sha = stored("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=");
    let apr1 = stored("$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/");
    vec![
        users("Basic, users of code", in_code),
        users("Basic, {SHA}", move |whose| basic(whose, &sha)),
        Case {
            // A check takes a third of a millisecond.
            samples: SAMPLES / 50,
            ..users("Basic, apr1", move |whose| basic(whose, &apr1))
        },
        tokens("Bearer, a token of a list", Bearer::new, |token| {
            authorization("Bearer", token)
        }),
        tokens("ApiKey", ApiKey::new, |token| {
            let mut request = Request::default();
            let value = HeaderValue::try_from(token).expect("a value");
            request.headers_mut().insert("x-api-key", value);
            request
        }),
        jwt(),
        links(),
        naive(),
    ]
}

/// The times of both classes, in nanoseconds.
fn measure(case: &Case, samples: usize) -> [Vec<u32>; 2] {
    let mut random = Random::new();
    let mut times = [Vec::with_capacity(samples), Vec::with_capacity(samples)];
    // Requests are made ahead, many at a time: what was done to make one would be seen in its time.
    let (size, warm_up) = (BATCH.min(samples), 2);
    for batch in 0..samples.div_ceil(size) + warm_up {
        let classes: Vec<bool> = (0..size).map(|_| random.next() % 2 == 1).collect();
        let make = |class: &bool| (case.make)(*class, &mut random);
        let requests: Vec<_> = classes.iter().map(make).collect();
        let answer = (case.answer)();
        for (class, (request, which)) in classes.iter().zip(&requests) {
            let start = Instant::now();
            answer(request, *which);
            let took = start.elapsed().as_nanos() as u32;
            if batch >= warm_up {
                times[usize::from(*class)].push(took);
            }
        }
    }
    times
}

/// The greatest |t|, of all times and of those below the quantiles; and by how many nanoseconds the means
/// differ there.
fn greatest_t(times: &[Vec<u32>; 2]) -> (f64, f64) {
    let mut all: Vec<u32> = times.concat();
    all.sort_unstable();
    let limits = QUANTILES.map(|quantile| all[((all.len() - 1) as f64 * quantile) as usize]);
    let below = |limit: u32| {
        let both = times.each_ref().map(|times| moments(times, limit));
        (t(both).abs(), both[1].1 - both[0].1)
    };
    let all = limits.into_iter().map(below);
    all.fold((0.0, 0.0), |most, it| if it.0 > most.0 { it } else { most })
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
        let (t, apart) = greatest_t(&times);
        let is_good = (t < BAR) != case.tells;
        let verdict = match (case.tells, is_good) {
            (false, true) => "met",
            (true, true) => "noticed",
            _ => "NOT MET",
        };
        if is_bench {
            println!(
                "{:<28} {samples:>9} samples, {apart:>6.2} ns apart, |t| {t:>8.2}: {verdict}",
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

    /// Digits of Base64 whose last two bits are zero, so that each is a good last one as well.
    fn text(&mut self, length: usize) -> String {
        const DIGITS: &[u8; 16] = b"AEIMQUYcgkosw048";
        let digit = |_| char::from(DIGITS[self.next() as usize % DIGITS.len()]);
        (0..length).map(digit).collect()
    }

    /// `text` with its last eight bytes replaced.
    fn other_end(&mut self, text: &str) -> String {
        format!("{}{}", &text[..text.len() - 8], self.text(8))
    }
}

const SAMPLES: usize = 1_000_000;
const BATCH: usize = 500;
const TEXTS: usize = 8;
/// Few enough that all are in the nearest cache. With more users, decoys for unknown names would be
/// chosen at random, and frequent ones would stay in a nearer cache.
const USERS: usize = 2;
const BAR: f64 = 4.5;
const QUANTILES: [f64; 6] = [1.0, 0.99, 0.95, 0.9, 0.75, 0.5];
const LINES: u32 = 16;
