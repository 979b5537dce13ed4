//! Responses against a dictionary (RFC 9842).

use std::sync::{Arc, Mutex};

use vestibule_compression::{Compression, Dictionary};
use vestibule_core::{App, IntoResponse, Request, Response};

use crate::clients::{output, with_server};
use crate::support::*;

/// The dictionary, and what is to be encoded against it: the same with changes.
fn versions() -> (Vec<u8>, Vec<u8>) {
    let text = String::from_utf8(words(48_000)).unwrap();
    let lines = text.as_bytes().chunks(40).enumerate();
    let old: Vec<u8> = lines
        .flat_map(|(n, line)| [format!("f{:x}(", n * 7_919).as_bytes(), line, b");\n"].concat())
        .take(60_000)
        .collect();
    let mut new = b"// version 2\n".to_vec();
    new.extend_from_slice(&old[..30_000]);
    new.extend_from_slice(b"/* what is new */");
    new.extend_from_slice(&old[30_000..]);
    (old, new)
}

async fn bundles(request: Request) -> Response {
    let (old, new) = versions();
    let text = match request.uri().path() {
        "/app.1.js" => old,
        _ => new,
    };
    (
        [("content-type", "text/javascript"), ("etag", "\"v\"")],
        text,
    )
        .into_response()
}

fn app() -> impl App {
    let dictionary = Dictionary::new(versions().0);
    Compression::new(bundles).dictionary(dictionary.served_at("/app.1.js", "/app.*.js").unwrap())
}

#[tokio::test]
async fn who_has_the_old_version_gets_the_difference() {
    let (old, new) = versions();
    let hash = python(
        "import hashlib, base64\nout.write(base64.b64encode(hashlib.sha256(data).digest()))",
        &old,
    );
    let hash = format!(":{}:", String::from_utf8(hash.unwrap()).unwrap());
    for (accept, token) in [("gzip, br, zstd, dcb, dcz", "dcz"), ("gzip, dcb", "dcb")] {
        let lines = [
            ("accept-encoding", accept),
            ("available-dictionary", &*hash),
        ];
        let (response, bytes) = ask(&app(), get(&lines)).await;
        assert_eq!(header(&response, "content-encoding"), token);
        assert_eq!(header(&response, "etag"), "W/\"v\"");
        assert_eq!(header(&response, "content-length"), bytes.len().to_string());
        let vary: Vec<_> = response.headers().get_all("vary").iter().collect();
        assert_eq!(vary, ["accept-encoding", "available-dictionary"]);
        assert!(bytes.len() < 1_000, "{token}: {} bytes", bytes.len());
        println!("{token}: {} of {} bytes", bytes.len(), new.len());
        if token == "dcz" {
            let path = std::env::temp_dir().join(format!("vestibule-{}.dict", std::process::id()));
            std::fs::write(&path, &old).unwrap();
            let found = pipe("zstd", &["-dc", "-D", path.to_str().unwrap()], &bytes);
            std::fs::remove_file(&path).unwrap();
            assert!(found.unwrap() == new);
        }
    }
    // Whether the dictionary is of use depends on the body, so a HEAD without one leaves it open.
    let lines = [
        ("accept-encoding", "gzip, dcz"),
        ("available-dictionary", &*hash),
    ];
    let mut want = ask(&app(), get(&lines)).await.0.headers().clone();
    let bare = Compression::new(|request: Request| async {
        let is_head = request.method() == http::Method::HEAD;
        let mut response = bundles(request).await;
        if is_head {
            // As a good app does: the length of what a GET has.
            let body = std::mem::take(response.body_mut());
            let length = body.as_bytes().unwrap().len().into();
            response.headers_mut().insert("content-length", length);
        }
        response
    });
    let bare = bare.dictionary(Dictionary::new(old.clone()));
    let mut head = get(&lines);
    *head.method_mut() = http::Method::HEAD;
    let (head, _) = ask(&bare, head).await;
    want.remove("content-length");
    want.remove("content-encoding");
    assert_eq!(*head.headers(), want);

    // Another dictionary, or none, or no coding for it.
    for lines in [
        [
            ("accept-encoding", "gzip, dcz"),
            ("available-dictionary", ":AAAA:"),
        ],
        [("accept-encoding", "gzip, dcz"), ("x", "")],
        [
            ("accept-encoding", "gzip"),
            ("available-dictionary", &*hash),
        ],
    ] {
        let (response, bytes) = ask(&app(), get(&lines)).await;
        assert_eq!(header(&response, "content-encoding"), "gzip");
        assert!(pipe("gzip", &["-dc"], &bytes).unwrap() == new);
    }
}

/// A 304 and a 206 of an encoded response depend on the same fields.
#[tokio::test]
async fn a_304_and_a_206_vary_by_dictionary_too() {
    for status in [304, 206] {
        let page = answers(move || {
            let status = http::StatusCode::from_u16(status).unwrap();
            (status, [("etag", "\"v\"")], ()).into_response()
        });
        let app = Compression::new(page).dictionary(Dictionary::new("abc"));
        let (response, _) = ask(&app, get(&[])).await;
        let vary: Vec<_> = response.headers().get_all("vary").iter().collect();
        assert_eq!(vary, ["accept-encoding", "available-dictionary"]);
    }
}

/// Only the dictionary's own body has `Use-As-Dictionary`.
#[tokio::test]
async fn only_the_dictionary_is_said_to_be_one() {
    let dictionary = Dictionary::new("abc");
    let dictionary = dictionary.served_at("/app.1.js", "/app.*.js").unwrap();
    let page = |request: Request| async move {
        match request.uri().query() {
            Some("gone") => http::StatusCode::NOT_FOUND,
            _ => http::StatusCode::OK,
        }
    };
    let app = Compression::new(page).dictionary(dictionary);
    let cases = [
        ("/app.1.js", "match=\"/app.*.js\""),
        ("/app.1.js?a", "match=\"/app.*.js\""),
        ("/app.1.js?gone", ""),
        ("/app.2.js", ""),
        ("/x/app.1.js", ""),
    ];
    for (path, want) in cases {
        let mut request = get(&[]);
        *request.uri_mut() = path.parse().unwrap();
        let (response, _) = ask(&app, request).await;
        assert_eq!(header(&response, "use-as-dictionary"), want, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_decodes_dcz_and_dcb() {
    let (_, new) = versions();
    for token in ["dcz", "dcb"] {
        let used = Arc::new(Mutex::new(Vec::new()));
        let told = used.clone();
        let pages = vestibule_core::around(move |mut request: Request, next| {
            let told = told.clone();
            async move {
                let path = request.uri().path().to_owned();
                if path == "/" {
                    return ([("content-type", "text/html")], PAGE).into_response();
                }
                // The browser takes both; here is one of them.
                if request.headers().contains_key("available-dictionary") {
                    let accept = token.parse().unwrap();
                    request.headers_mut().insert("accept-encoding", accept);
                }
                let mut response = next.call(request).await;
                let headers = response.headers_mut();
                headers.insert("cache-control", "max-age=3600".parse().unwrap());
                let coding = header(&response, "content-encoding").to_owned();
                told.lock().unwrap().push(format!("{path} {coding}"));
                response
            }
        });
        let profile =
            std::env::temp_dir().join(format!("vestibule-{token}-{}", std::process::id()));
        let profile_flag = format!("--user-data-dir={}", profile.display());
        let dom = with_server(pages(app().boxed()), |base| async move {
            let url = base.replace("127.0.0.1", "localhost");
            let flags = [
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--virtual-time-budget=20000",
            ];
            output(
                "chromium",
                &[&flags[..], &[&profile_flag, "--dump-dom", &url]].concat(),
            )
            .await
        })
        .await;
        let _ = std::fs::remove_dir_all(profile);
        let used = used.lock().unwrap().clone();
        let dom = String::from_utf8(dom).unwrap();
        assert!(
            used.iter()
                .any(|line| line == &format!("/app.2.js {token}")),
            "{used:?} {dom}"
        );
        // The length and a sum of what the browser read.
        let sum = new.iter().fold(0_u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u32::from(*byte))
        });
        assert!(dom.contains(&format!("read {} {sum}", new.len())), "{dom}");
    }
}

/// Reads the old version, then the new one until the browser offers the old as its dictionary.
const PAGE: &str = "<!doctype html><title>wait</title><body><script>
(async () => {
  await (await fetch('/app.1.js')).arrayBuffer();
  for (let n = 0; n < 40; n++) {
    const answer = await fetch('/app.2.js', { cache: 'no-store' });
    const coding = answer.headers.get('content-encoding');
    const bytes = new Uint8Array(await answer.arrayBuffer());
    let sum = 0;
    for (const byte of bytes) sum = (Math.imul(sum, 31) + byte) >>> 0;
    document.body.innerText = `read ${bytes.length} ${sum}`;
    if (coding && coding.startsWith('dc')) break;
    await new Promise(next => setTimeout(next, 100));
  }
})();
</script>";
