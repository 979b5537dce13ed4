//! `vestibule serve --watch`: a page in a browser loads itself anew when a file changes.
//!
//! Each page gets a script, which waits for events (HTML, section 9.2, "Server-sent events"). When only style sheets
//! changed, they alone are loaded anew, and the page stays as it is.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch::{self, Receiver, Sender};
use vestibule::http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    RANGE,
};
use vestibule::http::{HeaderMap, HeaderValue, Method, StatusCode};
use vestibule::{App, Body, Failure, IntoResponse, Outline, Request, Response};

/// Adds a script to the pages of the wrapped app, which loads them anew when a file below a folder changes.
///
/// Pages have no validators then, and nothing is kept by a browser without asking.
#[derive(Clone, Debug)]
pub(crate) struct Reload<A> {
    app: A,
    changes: Receiver<Change>,
}

/// What changed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Nothing,
    /// Style sheets, and nothing else.
    Styles,
    Files,
    /// The server ends.
    Ended,
}

impl<A: App> Reload<A> {
    pub(crate) fn new(app: A, changes: Receiver<Change>) -> Self {
        Self { app, changes }
    }

    /// Adds the script to a page.
    async fn with_script(&self, response: Response, is_head: bool) -> Response {
        let (mut head, body) = response.into_parts();
        let length = head.headers.get(CONTENT_LENGTH).and_then(number);
        if length.is_none_or(|length| length > MAX_PAGE) {
            return Response::from_parts(head, body);
        }
        for field in [ETAG, LAST_MODIFIED, ACCEPT_RANGES] {
            head.headers.remove(field);
        }
        head.headers.insert(CACHE_CONTROL, NO_STORE);
        let policy = head.headers.get(CONTENT_SECURITY_POLICY).and_then(allowing);
        if let Some(policy) = policy {
            head.headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        let length = length.unwrap_or(0) + SCRIPT.len() as u64;
        head.headers.insert(CONTENT_LENGTH, length.into());
        if is_head {
            return Response::from_parts(head, body);
        }
        match body.collect(MAX_PAGE).await {
            Ok(page) => Response::from_parts(head, Body::from([&page, SCRIPT.as_bytes()].concat())),
            Err(error) => Failure::new(error)
                .status(StatusCode::INTERNAL_SERVER_ERROR)
                .layer("Reload")
                .into_response(),
        }
    }

    /// Events for as long as somebody listens and files are watched.
    fn events(&self) -> Response {
        let (mut sender, body) = Body::channel();
        let mut changes = self.changes.clone();
        changes.mark_unchanged();
        tokio::spawn(async move {
            // The first bytes tell the browser that it is connected.
            let mut data = ": watching\n\n";
            while sender.send(data).await.is_ok() && changes.changed().await.is_ok() {
                data = match *changes.borrow_and_update() {
                    Change::Styles => "event: change\ndata: styles\n\n",
                    Change::Files | Change::Nothing => "event: change\ndata: files\n\n",
                    Change::Ended => break,
                };
            }
            sender.finish();
        });
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, NO_STORE);
        response
    }
}

impl<A: App> App for Reload<A> {
    async fn call(&self, mut request: Request) -> Response {
        let is_head = request.method() == Method::HEAD;
        match (request.method(), request.uri().path()) {
            (&Method::GET, EVENTS) => return self.events(),
            (&Method::GET | &Method::HEAD, "/-/reload.js") => return script(),
            _ => {}
        }
        if accepts_pages(request.headers()) {
            for field in [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, ACCEPT_ENCODING] {
                request.headers_mut().remove(field);
            }
        }
        let mut response = self.app.call(request).await;
        if is_page(response.headers()) {
            return self.with_script(response, is_head).await;
        }
        response.headers_mut().insert(CACHE_CONTROL, NO_CACHE);
        response
    }

    fn describe(&self, outline: &mut Outline) {
        outline.option("at", EVENTS).wraps(&self.app);
    }
}

/// The script that listens.
fn script() -> Response {
    let mut response = Response::new(Body::from(LISTEN));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/javascript; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, NO_CACHE);
    response
}

/// Whether a browser navigates.
fn accepts_pages(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).map(HeaderValue::as_bytes);
    accept.is_some_and(|value| value.windows(9).any(|part| part == b"text/html"))
}

/// Whether the bytes are those of a page, as it is.
fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"text/html"))
        && !headers.contains_key(CONTENT_ENCODING)
}

/// A policy that lets the script in; of two directives of one name the first one counts (Content Security Policy 3,
/// section 2.2.1), so that only what follows from `default-src` changes.
fn allowing(policy: &HeaderValue) -> Option<HeaderValue> {
    let own = b"; script-src 'self'; connect-src 'self'";
    HeaderValue::from_bytes(&[policy.as_bytes(), own].concat()).ok()
}

fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

/// Watches the files below a folder, until nobody listens. Hidden ones are not looked at.
///
/// Looks at all of them again and again, at least five times a second but never more than a twentieth of the time: that
/// works on every system, in containers and on network drives, where the system itself tells of nothing.
pub(crate) fn watch(folder: PathBuf) -> (Sender<Change>, Receiver<Change>) {
    let (sender, receiver) = watch::channel(Change::Nothing);
    let teller = sender.clone();
    thread::spawn(move || {
        let mut known = scan(&folder).0;
        while !teller.is_closed() {
            let (mut found, took) = scan(&folder);
            let change = compare(&known, &found);
            if change != Change::Nothing {
                // A build writes many files: its end is waited for, for a while.
                let deadline = Instant::now() + LONGEST_BUILD;
                let mut before = found;
                loop {
                    thread::sleep(INTERVAL);
                    found = scan(&folder).0;
                    if compare(&before, &found) == Change::Nothing || Instant::now() > deadline {
                        break;
                    }
                    before = found;
                }
                let _ = teller.send(compare(&known, &found));
            }
            known = found;
            thread::sleep(INTERVAL.max(took * 20));
        }
    });
    (sender, receiver)
}

/// The files below a folder, with their times and lengths.
type Tree = HashMap<PathBuf, (Option<SystemTime>, u64)>;

/// Looks at all files, and says how long that took.
fn scan(folder: &Path) -> (Tree, Duration) {
    let start = Instant::now();
    let (mut tree, mut folders) = (Tree::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        // What is gone meanwhile is gone from the tree.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if let Ok(metadata) = fs::metadata(&path) {
                tree.insert(path, (metadata.modified().ok(), metadata.len()));
            }
        }
    }
    (tree, start.elapsed())
}

/// What differs between two looks.
fn compare(old: &Tree, new: &Tree) -> Change {
    let is_style = |path: &Path| path.extension().is_some_and(|kind| kind == "css");
    let differs = |path: &&PathBuf| old.get(*path) != new.get(*path);
    let changed: Vec<_> = old.keys().chain(new.keys()).filter(differs).collect();
    // One that is new or gone may be linked from anywhere.
    let is_there = |path: &PathBuf| old.contains_key(path) && new.contains_key(path);
    match changed.is_empty() {
        true => Change::Nothing,
        false if changed.iter().all(|path| is_style(path) && is_there(path)) => Change::Styles,
        false => Change::Files,
    }
}

const EVENTS: &str = "/-/reload";

/// What a page gets at its end. A file of its own, since pages may refuse scripts that stand in them.
const SCRIPT: &str = "\n<script src=\"/-/reload.js\" async></script>\n";

const LISTEN: &str = r#"// Of `vestibule serve --watch`: loads this page anew when a file changes.
{
  const events = new EventSource("/-/reload");
  let isLost = false;
  events.addEventListener("error", () => { isLost = true; });
  // The server was started again; who knows what has changed.
  events.addEventListener("open", () => { if (isLost) location.reload(); });
  events.addEventListener("change", (event) => {
    const links = [...document.querySelectorAll("link[rel~=stylesheet]")];
    const own = links.filter((link) => new URL(link.href).origin === location.origin);
    if (event.data !== "styles" || own.length === 0) return location.reload();
    for (const link of own) {
      const url = new URL(link.href);
      url.searchParams.set("reload", Date.now());
      link.href = url;
    }
  });
}
"#;

const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The largest page that gets the script, in bytes.
const MAX_PAGE: u64 = 16 * 1024 * 1024;

const INTERVAL: Duration = Duration::from_millis(200);

const LONGEST_BUILD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed() {
        let tree = |files: &[(&str, u64)]| -> Tree {
            let entry = |(name, length): &(&str, u64)| (PathBuf::from(name), (None, *length));
            files.iter().map(entry).collect()
        };
        let old = tree(&[("a.html", 1), ("b.css", 1)]);
        let cases = [
            (tree(&[("a.html", 1), ("b.css", 1)]), Change::Nothing),
            (tree(&[("a.html", 1), ("b.css", 2)]), Change::Styles),
            (tree(&[("a.html", 2), ("b.css", 2)]), Change::Files),
            (tree(&[("a.html", 1)]), Change::Files),
            (
                tree(&[("a.html", 1), ("b.css", 1), ("c.css", 1)]),
                Change::Files,
            ),
        ];
        for (new, want) in cases {
            assert_eq!(compare(&old, &new), want, "{new:?}");
        }
    }
}
