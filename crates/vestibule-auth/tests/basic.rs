//! Basic from outside: what is refused and how, how often, and how many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use vestibule_auth::{Authenticate, Basic, Htpasswd, Identity, Lockout, PasswordHash, Scheme};
use vestibule_core::{Address, App, Failure, Peer, RemoteUser, Request};

use crate::support::{Scratch, ask, basic, header, read, request, who};

const APR1: &str = "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/";

fn aladdin() -> Basic {
    Basic::new(Htpasswd::new().with_user("Aladdin", "open sesame"))
}

#[tokio::test]
async fn rfc7617_2_examples() {
    let app = Authenticate::new(who, aladdin().realm("WallyWorld"));
    let refused = app.call(Request::default()).await;
    assert_eq!(refused.status(), 401);
    let challenge = r#"Basic realm="WallyWorld", charset="UTF-8""#;
    assert_eq!(header(&refused, "www-authenticate"), [challenge]);
    let answer = ask(&app, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").await;
    assert_eq!(RemoteUser::of(&answer).unwrap().name(), "Aladdin");
    assert_eq!(read(answer).await, (200, "Aladdin".to_owned()));
    // Section 2.1: test and 123£ in UTF-8.
    let app = Authenticate::new(who, Basic::new(Htpasswd::new().with_user("test", "123£")));
    assert_eq!(ask(&app, "Basic dGVzdDoxMjPCow==").await.status(), 200);
}

#[tokio::test]
async fn fault_124_malformed_credentials_are_401() {
    let app = Authenticate::new(who, aladdin());
    let long = [&b"Basic "[..], &[b'A'; 1 << 16]].concat();
    let cases: [&[u8]; 16] = [
        b"Basic bm8gY29sb24=",                 // no colon
        b"Basic !!!!",                         // no Base64
        b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ",   // no padding
        b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZR==", // unused bits
        b"Basic QWxhZGRpbjr/",                 // not UTF-8
        b"Basic",
        b"Basic ",
        b"basic",
        b"",
        b"Basic Og==",         // no user, no password
        b"Basic QWxhZGRpbjo=", // no password
        b"Basic OmI=",         // no user
        b"Basic QWxhZGRpbjoA", // NUL
        b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        b"Basic\xff",
        &long,
    ];
    for value in cases {
        let answer = ask(&app, value).await;
        let shown = String::from_utf8_lossy(&value[..value.len().min(60)]);
        assert_eq!(answer.status(), 401, "{shown}");
        assert_eq!(header(&answer, "www-authenticate").len(), 1, "{shown}");
        assert!(Failure::of(&answer).is_some());
    }
    // Two fields, whatever they are: who reads the first and who reads the last would disagree.
    let good = basic("Aladdin", "open sesame");
    for other in [&good[..], b"Bearer x"] {
        let twice = request("/", &[("authorization", &good), ("authorization", other)]);
        assert_eq!(app.call(twice).await.status(), 401);
    }
    // The name of a scheme has no case (RFC 9110 section 11.1).
    for name in ["basic", "BASIC", "bAsIc"] {
        let value = String::from_utf8(good.clone())
            .unwrap()
            .replace("Basic", name);
        assert_eq!(ask(&app, value).await.status(), 200);
    }
}

/// Digest is not spoken: its example is a credential of no scheme here, and is answered with ours.
#[tokio::test]
async fn rfc7616_3_9_1_is_no_credential() {
    let digest = r#"Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#;
    let app = Authenticate::new(who, aladdin());
    let answer = ask(&app, digest).await;
    assert_eq!(answer.status(), 401);
    let challenge = r#"Basic realm="restricted", charset="UTF-8""#;
    assert_eq!(header(&answer, "www-authenticate"), [challenge]);
    let optional = Authenticate::new(who, aladdin()).optional();
    assert_eq!(read(ask(&optional, digest).await).await.1, "nobody");
}

#[tokio::test]
async fn credentials_are_taken_off_or_kept() {
    async fn sees(request: Request) -> String {
        format!("{:?}", request.headers().contains_key("authorization"))
    }
    let good = basic("Aladdin", "open sesame");
    let taken = Authenticate::new(sees, aladdin());
    assert_eq!(read(ask(&taken, &good).await).await.1, "false");
    let kept = Authenticate::new(sees, aladdin()).keep_credential();
    assert_eq!(read(ask(&kept, &good).await).await.1, "true");
    // Of another scheme they are not ours to take.
    let optional = Authenticate::new(sees, aladdin()).optional();
    assert_eq!(read(ask(&optional, "Bearer x").await).await.1, "true");
}

#[tokio::test]
async fn optional_lets_nobody_in_and_no_wrong_password() {
    let app = Authenticate::new(who, aladdin()).optional();
    assert_eq!(read(app.call(Request::default()).await).await.1, "nobody");
    assert_eq!(ask(&app, basic("Aladdin", "x")).await.status(), 401);
}

#[tokio::test]
async fn head_has_no_body() {
    let app = Authenticate::new(who, aladdin());
    let answer = app.call(request("HEAD /", &[])).await;
    assert_eq!(read(answer).await, (401, String::new()));
}

#[tokio::test]
async fn failures_lock_a_user_out_whoever_asks() {
    let app = Authenticate::new(who, aladdin().lockout(Lockout::new().by_user(3)));
    let good = basic("Aladdin", "open sesame");
    assert_eq!(ask(&app, &good).await.status(), 200);
    for _ in 0..3 {
        assert_eq!(ask(&app, basic("Aladdin", "x")).await.status(), 401);
    }
    // Were the right password let in now, guessing could go on.
    for value in [&good, &basic("Aladdin", "y")] {
        let locked = ask(&app, value).await;
        assert_eq!(locked.status(), 429);
        assert_eq!(header(&locked, "retry-after"), ["300"]);
        assert!(header(&locked, "www-authenticate").is_empty());
    }
    // Of a name that is not there it is the same, so it tells nothing.
    for expected in [401, 401, 401, 429] {
        assert_eq!(ask(&app, basic("nobody", "x")).await.status(), expected);
    }
}

#[tokio::test]
async fn failures_lock_an_address_out() {
    let app = Authenticate::new(who, aladdin().lockout(Lockout::new().by_address(2)));
    let from = async |ip: &str, user: &str| {
        let mut request = request("/", &[("authorization", &basic(user, "x"))]);
        let peer: std::net::SocketAddr = format!("{ip}:1").parse().unwrap();
        let peer = Peer::new(Address::Tcp(peer), Address::Tcp(peer));
        request.extensions_mut().insert(peer);
        app.call(request).await.status().as_u16()
    };
    assert_eq!(from("192.0.2.1", "a").await, 401);
    assert_eq!(from("192.0.2.1", "b").await, 401);
    assert_eq!(from("192.0.2.1", "c").await, 429);
    assert_eq!(from("192.0.2.2", "c").await, 401);
}

/// The limit holds for guesses that come at once, not only for those that come in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn guesses_at_once_are_counted_one_by_one() {
    let users = Htpasswd::parse(&format!("alice:{APR1}"));
    let basic_scheme = Basic::new(users)
        .lockout(Lockout::new().by_user(5))
        .checks(4, 500);
    let app = Arc::new(Authenticate::new(who, basic_scheme));
    let guesses = (0..200).map(|n| {
        let app = app.clone();
        tokio::spawn(async move { ask(&app, basic("alice", &n.to_string())).await.status() })
    });
    let mut counts = std::collections::HashMap::new();
    for guess in guesses.collect::<Vec<_>>() {
        *counts.entry(guess.await.unwrap().as_u16()).or_insert(0) += 1;
    }
    assert_eq!(counts, [(401, 5), (429, 195)].into());
}

/// A page of fifty parts asks fifty times at once; one check answers all.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_check_serves_a_whole_page() {
    let checks = Arc::new(AtomicUsize::new(0));
    let counted = checks.clone();
    let scheme = Basic::with(move |user, _| {
        let checks = counted.clone();
        async move {
            checks.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok(Some(Identity::new(user, "Basic")))
        }
    });
    let app = Arc::new(Authenticate::new(who, scheme));
    let parts = (0..50).map(|_| {
        let app = app.clone();
        tokio::spawn(async move { ask(&app, basic("alice", "secret")).await.status() })
    });
    for part in parts.collect::<Vec<_>>() {
        assert_eq!(part.await.unwrap(), 200);
    }
    assert_eq!(checks.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn beyond_the_limit_it_is_503() {
    let scheme = Basic::with(|_, _| std::future::pending()).checks(1, 2);
    let app = Arc::new(Authenticate::new(who, scheme));
    let mut waiting: Vec<_> = (0..3)
        .map(|n| {
            Box::pin({
                let app = app.clone();
                async move { ask(&app, basic(&format!("user{n}"), "x")).await }
            })
        })
        .collect();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    for ask in &mut waiting {
        assert!(ask.as_mut().poll(&mut cx).is_pending());
    }
    let busy = ask(&app, basic("one more", "x")).await;
    assert_eq!(busy.status(), 503);
    assert_eq!(header(&busy, "retry-after"), ["2"]);
    // Those who left make room.
    waiting.truncate(1);
    let mut next = Box::pin(ask(&*app, "Basic YTpi"));
    assert!(next.as_mut().poll(&mut cx).is_pending());
}

/// One thread serves; were passwords hashed on it, nobody else would be answered meanwhile.
#[tokio::test]
async fn argon2_for_200_at_once_leaves_the_open_path_alone() {
    let stored = PasswordHash::parse(&PasswordHash::argon2(b"right")).unwrap();
    let users = (0..200).fold(Htpasswd::new(), |users, n| {
        users.with_hash(format!("user{n}"), stored.clone())
    });
    let scheme = Basic::new(users).lockout(None).checks(1, 16);
    let app = Arc::new(Authenticate::new(who, scheme).optional());
    let mut crowd: Vec<_> = (0..200)
        .map(|n| {
            let app = app.clone();
            tokio::spawn(async move { ask(&*app, basic(&format!("user{n}"), "wrong")).await })
        })
        .collect();
    tokio::task::yield_now().await;
    // All have asked. One password is hashed, some wait, and the rest were sent away at once.
    assert!(crowd.iter().any(tokio::task::JoinHandle::is_finished));
    while let Some(last) = crowd.iter().rposition(|asked| !asked.is_finished()) {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let mut open = Box::pin(app.call(request("/", &[])));
        let std::task::Poll::Ready(answer) = open.as_mut().poll(&mut cx) else {
            panic!("the open path waits");
        };
        assert_eq!(answer.status(), 200);
        let refused = (&mut crowd[last]).await.unwrap();
        assert!(matches!(refused.status().as_u16(), 401 | 503));
        crowd.remove(last);
    }
    let mut counts = std::collections::HashMap::new();
    for asked in crowd {
        let answer = asked.await.unwrap();
        if answer.status() == 503 {
            assert_eq!(header(&answer, "retry-after"), ["2"]);
        }
        *counts.entry(answer.status().as_u16()).or_insert(0) += 1;
    }
    assert!(counts[&503] >= 100, "{counts:?}");
}

#[tokio::test]
async fn a_callback_that_fails_is_503_and_not_a_lock() {
    let scheme = Basic::with(|_, _| async { Err("no database".into()) });
    let app = Authenticate::new(who, scheme);
    for _ in 0..20 {
        let answer = ask(&app, basic("a", "b")).await;
        assert_eq!(answer.status(), 503);
        let cause = Failure::of(&answer).unwrap().to_string();
        assert_eq!(cause, "Basic: the users cannot be asked: no database");
    }
}

#[tokio::test]
async fn a_changed_file_is_read_again() {
    let scratch = Scratch::new();
    let file = scratch.file("users");
    std::fs::write(&file, format!("alice:{APR1}\n")).unwrap();
    let app = Authenticate::new(
        who,
        Basic::new(Htpasswd::open(&file).unwrap()).lockout(None),
    );
    let old = basic("alice", "myPassword");
    assert_eq!(ask(&app, &old).await.status(), 200);
    let sha = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";
    std::fs::write(&file, format!("alice:{sha}\n")).unwrap();
    // The file is looked at once in a second; what was remembered of the old one does not count.
    until(async || ask(&app, &old).await.status() == 401).await;
    assert_eq!(ask(&app, basic("alice", "password")).await.status(), 200);
    // A file that is gone, or broken, changes nothing.
    std::fs::remove_file(&file).unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(ask(&app, basic("alice", "password")).await.status(), 200);
    std::fs::write(&file, format!("bob:{sha}\n")).unwrap();
    until(async || ask(&app, basic("bob", "password")).await.status() == 200).await;
    assert_eq!(ask(&app, basic("alice", "password")).await.status(), 401);
}

async fn until(holds: impl AsyncFn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(std::time::Instant::now() < deadline, "it never came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn several_schemes_offer_all_their_challenges() {
    let tokens = vestibule_auth::Tokens::new().with("t", Identity::new("ci", "Bearer"));
    let app = Authenticate::new(who, aladdin().or(vestibule_auth::Bearer::new(tokens)));
    let refused = app.call(Request::default()).await;
    let both = ["Basic realm=\"restricted\", charset=\"UTF-8\"", "Bearer"];
    assert_eq!(header(&refused, "www-authenticate"), both);
    assert_eq!(read(ask(&app, "Bearer t").await).await.1, "ci");
    assert_eq!(
        read(ask(&app, basic("Aladdin", "open sesame")).await)
            .await
            .1,
        "Aladdin"
    );
    let refused = ask(&app, "Bearer u").await;
    let both = [both[0], "Bearer error=\"invalid_token\""];
    assert_eq!(header(&refused, "www-authenticate"), both);
}

#[tokio::test]
async fn groups_and_hashes_of_code() {
    let users = Htpasswd::new()
        .with_hash("alice", PasswordHash::parse(APR1).unwrap())
        .with_group("staff", ["alice"]);
    let app = Authenticate::new(
        |request: Request| async move { format!("{:?}", Identity::of(&request).unwrap().groups()) },
        Basic::new(users),
    );
    let answer = ask(&app, basic("alice", "myPassword")).await;
    assert_eq!(read(answer).await.1, "[\"staff\"]");
}

/// A log of its own, as a program writes it.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Which refusals are events, and what of the client is in them.
#[tokio::test]
async fn a_refused_login_is_an_event_with_the_peer_and_the_name() {
    let log = Log::default();
    let to = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_writer(move || to.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let users = Htpasswd::new().with_user("alice", "rightpassw0rd");
    let lockout = vestibule_auth::Lockout::new().by_user(2);
    let app = Authenticate::new(who, Basic::new(users).lockout(lockout));
    // The peer, its credential, the status, and the event.
    type Case = (&'static str, Option<Vec<u8>>, u16, Option<&'static str>);
    let cases: [Case; 9] = [
        ("192.0.2.1:1", None, 401, None),
        (
            "192.0.2.1:1",
            Some(basic("alice", "rightpassw0rd")),
            200,
            None,
        ),
        (
            "192.0.2.1:1",
            Some(basic("alice", "wrongpassw0rd")),
            401,
            Some(r#"peer=192.0.2.1 reason="denied" scheme="Basic" user="alice" left_out=0"#),
        ),
        (
            "[::ffff:192.0.2.2]:1",
            Some(basic("nobody", "wrongpassw0rd")),
            401,
            Some(r#"peer=192.0.2.2 reason="denied" scheme="Basic" user="nobody""#),
        ),
        (
            "[2001:db8::1]:1",
            Some(basic("alice", "wrongpassw0rd")),
            401,
            Some(r#"peer=2001:db8::1 reason="denied""#),
        ),
        (
            "192.0.2.1:1",
            Some(basic("alice", "rightpassw0rd")),
            429,
            Some(r#"peer=192.0.2.1 reason="locked" scheme="Basic" user="alice""#),
        ),
        (
            "192.0.2.3:1",
            Some(basic("x peer=198.51.100.1", "wrongpassw0rd")),
            401,
            Some(
                r#"peer=192.0.2.3 reason="denied" scheme="Basic" user="x\\u{20}peer\\u{3d}198.51.100.1""#,
            ),
        ),
        (
            "192.0.2.4:1",
            Some(b"Basic ?".to_vec()),
            401,
            Some(r#"peer=192.0.2.4 reason="malformed" scheme="Basic" user="""#),
        ),
        ("", Some(basic("bob", "wrongpassw0rd")), 401, None),
    ];
    for (peer, credential, status, event) in cases {
        log.0.lock().unwrap().clear();
        let headers: Vec<(&'static str, &[u8])> = credential
            .iter()
            .map(|it| ("authorization", it.as_slice()))
            .collect();
        let mut request = request("/", &headers);
        if let Ok(peer) = peer.parse() {
            let peer = vestibule_core::Address::Tcp(peer);
            let peer = vestibule_core::Peer::new(peer.clone(), peer);
            request.extensions_mut().insert(peer);
        }
        assert_eq!(app.call(request).await.status(), status, "{peer}");
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        match event {
            Some(event) => {
                let event = format!(" WARN vestibule_auth: refused a login {event}");
                assert!(text.contains(&event), "{text}");
                assert_eq!(text.lines().count(), 1, "{text}");
            }
            None => assert_eq!(text, "", "{peer}"),
        }
        assert!(!text.contains("passw0rd"));
    }
}
