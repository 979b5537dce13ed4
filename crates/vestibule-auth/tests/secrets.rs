//! No secret is ever in a log, an error, a response or a `Debug`.

use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};

use vestibule_auth::{
    ApiKey, Authenticate, Basic, Bearer, Htpasswd, Identity, PasswordHash, Require, Tokens,
};
use vestibule_core::{App, Failure, Response};

use crate::support::{Scratch, basic, request, who};

/// What is planted: right and wrong passwords, tokens, keys, stored hashes, and how they travel.
const PLANTED: &[&str] = &[
    "rightpassw0rd",
    "wrongpassw0rd",
    "t0kenright",
    "t0kenwrong",
    "k3yright",
    "k3ywrong",
    "HqJZimcKQFAMYayBlzkrA",
    "brokenhash",
    "plainsecret",
    "W6ph5Mm5Pz8GgiULbPgzG37mj9g",
];

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that can be seen of a response.
async fn seen(response: Response) -> String {
    let mut text = format!("{:?} {:?}", response.status(), response.headers());
    if let Some(failure) = Failure::of(&response) {
        write!(text, " {failure} {failure:?}").unwrap();
    }
    let body = response.into_body().collect(1 << 20).await.unwrap();
    text + &String::from_utf8_lossy(&body)
}

#[tokio::test]
async fn fault_144_no_output_has_a_planted_secret() {
    let heard = Heard::default();
    let writer = heard.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let scratch = Scratch::new();
    let file = scratch.file("users");
    let lines = "alice:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/\nb:$apr1$brokenhash\nc:plainsecret\n\
                 d:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nplainsecret\n";
    std::fs::write(&file, lines).unwrap();
    let users = || {
        Htpasswd::open(&file)
            .unwrap()
            .with_user("bob", "rightpassw0rd")
    };
    let tokens = || {
        Tokens::new()
            .with("t0kenright", Identity::new("t", "Bearer"))
            .with("k3yright", Identity::new("k", "ApiKey"))
    };
    let by_basic = Authenticate::new(who.boxed(), Basic::new(users()));
    let by_bearer = Authenticate::new(who.boxed(), Bearer::new(tokens()));
    let by_key = Authenticate::new(
        who.boxed(),
        ApiKey::new(tokens()).query("key").cookie("key"),
    );
    let guarded = Require::new(who.boxed()).group("none");
    let failing = Authenticate::new(
        who.boxed(),
        Basic::with(|_, _| async { Err("down".into()) }),
    );

    let mut output = format!("{by_basic:?} {by_bearer:?} {by_key:?} {guarded:?} {failing:?}");
    let stored = PasswordHash::parse("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=").unwrap();
    write!(output, "{stored:?} {:?} {:?}", tokens(), users()).unwrap();
    write!(output, "{:?}", PasswordHash::parse("$apr1$brokenhash")).unwrap();
    let mut encoded = Vec::new();
    for password in ["rightpassw0rd", "wrongpassw0rd"] {
        for user in ["alice", "bob", "nobody"] {
            let value = basic(user, password);
            let line = [("authorization", &value[..])];
            output += &seen(by_basic.call(request("/", &line)).await).await;
            output += &seen(failing.call(request("/", &line)).await).await;
            output += &seen(guarded.call(request("/", &line)).await).await;
            encoded.push(String::from_utf8(value).unwrap()["Basic ".len()..].to_owned());
        }
    }
    for value in [
        "Bearer t0kenright",
        "Bearer t0kenwrong",
        "Bearer t0kenwrong x",
        "t0kenwrong",
    ] {
        let line = [("authorization", value.as_bytes())];
        output += &seen(by_bearer.call(request("/", &line)).await).await;
        output += &seen(by_basic.call(request("/", &line)).await).await;
    }
    for key in ["k3yright", "k3ywrong"] {
        output += &seen(by_key.call(request(&format!("/?key={key}"), &[])).await).await;
        output += &seen(
            by_key
                .call(request("/", &[("x-api-key", key.as_bytes())]))
                .await,
        )
        .await;
        let cookie = format!("key={key}");
        output += &seen(
            by_key
                .call(request("/", &[("cookie", cookie.as_bytes())]))
                .await,
        )
        .await;
    }
    let events = String::from_utf8(heard.0.lock().unwrap().clone()).unwrap();
    assert!(
        events.contains("is left out"),
        "the events were heard: {events}"
    );
    output += &events;
    let planted = PLANTED
        .iter()
        .copied()
        .chain(encoded.iter().map(|it| &**it));
    for secret in planted {
        assert!(
            !output.contains(secret),
            "{secret} is in the output:\n{output}"
        );
    }
}

/// Secrets of the whole suite: passwords, tokens and keys, what is stored of them, and how they travel.
const OF_THE_SUITE: &[&str] = &[
    "open sesame",
    "b3BlbiBzZXNhbWU",
    "123£",
    "myPassword",
    "HqJZimcKQFAMYayBlzkrA",
    "W6ph5Mm5Pz8GgiULbPgzG37mj9g",
    "correct horse",
    "battery staple",
    "pässwörd",
    "$argon2id$v=",
    "$apr1$r31",
    "mF_9.B5f-4.1JqM",
    "k-1",
    "thirty-two bytes",
    // The beginning of every JSON Web Token.
    "eyJ",
    "hgyY0il_MGCjP0",
    "&signature=",
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ",
];

/// The suite once more, in a process that prints every event and every answer.
#[test]
fn fault_144_no_output_of_the_suite_has_a_secret() {
    if crate::support::is_heard() {
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--nocapture", "--skip", "no_output_of_the_suite"])
        .env(crate::support::HEARD_VARIABLE, "1")
        // Colours stand between a level and its spaces.
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    for heard in [
        " WARN ",
        " INFO ",
        " ERROR ",
        "401 Unauthorized",
        "the token is refused",
    ] {
        assert!(text.contains(heard), "{heard:?} was not heard:\n{text}");
    }
    for secret in PLANTED.iter().chain(OF_THE_SUITE) {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret:?} is in the output");
    }
}
