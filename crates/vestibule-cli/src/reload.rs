//! `vestibule serve --watch`: a page in a browser loads itself again when a file changes.
//!
//! Each page gets a script, which waits for events (HTML, section 9.2, "Server-sent events"). When only style sheets
//! changed, they alone are loaded again, and the page stays as it is.
//!
//! A browser opens at most six connections to a server by HTTP/1.1, so that a stream for each tab would make the seventh
//! tab hang. All tabs share one stream, which a shared worker reads (HTML, section 10.2.6.4). Where there is none, as in
//! Chrome for Android, only the visible tab has a stream.
//!
//! A page carries the version of the files that it was made from. Each stream begins with the current version, so that a page
//! also sees changes from before it was connected, and a restart of the server.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch::{self, Receiver, Sender};
use vestibule::http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    RANGE,
};
use vestibule::http::{HeaderMap, HeaderValue, Method, StatusCode};
use vestibule::{App, Body, Failure, IntoResponse, Outline, PathView, Request, Response};

use crate::tree::{Change, Tree};

/// Adds a script to the pages of the wrapped app, which loads them again when a file changes.
///
/// Pages have no validators then, and nothing is kept by a browser without asking.
#[derive(Clone, Debug)]
pub(crate) struct Reload<A> {
    app: A,
    changes: Receiver<Version>,
    /// The path at which the app is mounted, without a slash at its end.
    prefix: Arc<str>,
}

/// Which files there are: a change makes the next version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// When the server was started, in milliseconds since 1970: a later process has later versions.
    start: u128,
    number: u64,
    change: Change,
    /// The server ends.
    is_last: bool,
}

impl Version {
    fn first() -> Self {
        let start = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            start: start.unwrap_or_default().as_millis(),
            number: 0,
            change: Change::Nothing,
            is_last: false,
        }
    }

    /// After a change.
    const fn next(self, change: Change) -> Self {
        Self {
            number: self.number + 1,
            change,
            ..self
        }
    }

    /// At the end of the server.
    pub(crate) const fn last(self) -> Self {
        Self {
            is_last: true,
            ..self
        }
    }

    /// As pages have it.
    fn name(self) -> String {
        format!("{}.{}", self.start, self.number)
    }

    /// An event: what changed, and the current version.
    fn event(self, change: Change) -> String {
        let change = match change {
            Change::Nothing => "now",
            Change::Styles => "styles",
            Change::Files => "files",
        };
        format!("event: change\ndata: {change} {}\n\n", self.name())
    }
}

impl<A: App> Reload<A> {
    /// Wraps `app`, which is mounted at `prefix`.
    pub(crate) fn new(app: A, changes: Receiver<Version>, prefix: Arc<str>) -> Self {
        Self {
            app,
            changes,
            prefix,
        }
    }

    /// Adds the script to a page.
    async fn with_script(&self, response: Response, script: String, is_head: bool) -> Response {
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
        let length = length.unwrap_or(0) + script.len() as u64;
        head.headers.insert(CONTENT_LENGTH, length.into());
        if is_head {
            return Response::from_parts(head, body);
        }
        match body.collect(MAX_PAGE).await {
            Ok(page) => Response::from_parts(head, Body::from([&page, script.as_bytes()].concat())),
            Err(error) => Failure::new(error)
                .status(StatusCode::INTERNAL_SERVER_ERROR)
                .layer("Reload")
                .into_response(),
        }
    }

    /// Sends an event for each change, until the client leaves or the server ends.
    fn events(&self) -> Response {
        let (mut sender, body) = Body::channel();
        let mut changes = self.changes.clone();
        tokio::spawn(async move {
            // The first event says that the browser is connected, and which version there is.
            let mut version = *changes.borrow_and_update();
            let mut data = version.event(Change::Nothing);
            while sender.send(data).await.is_ok() && !version.is_last {
                let waited = before(sender.closed(), async {
                    tokio::time::timeout(HEARTBEAT, changes.changed()).await
                });
                data = match waited.await {
                    None | Some(Ok(Err(_))) => break,
                    // Tells a proxy that the stream is alive, and this side that the client is.
                    Some(Err(_)) => ":\n\n".to_owned(),
                    Some(Ok(Ok(()))) => {
                        version = *changes.borrow_and_update();
                        if version.is_last {
                            break;
                        }
                        version.event(version.change)
                    }
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

/// What `other` gives, or `None` when `end` comes first.
async fn before<T>(end: impl Future, other: impl Future<Output = T>) -> Option<T> {
    let (mut end, mut other) = (pin!(end), pin!(other));
    poll_fn(|cx| {
        if end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        other.as_mut().poll(cx).map(Some)
    })
    .await
}

impl<A: App> App for Reload<A> {
    async fn call(&self, mut request: Request) -> Response {
        let is_head = request.method() == Method::HEAD;
        // Below its mount: a path that no file may have is for the app to refuse.
        let view = PathView::of(&request);
        let path = view.as_ref().map_or("", |view| view.raw());
        match (request.method(), path) {
            (&Method::GET, EVENTS) => return self.events(),
            (&Method::GET | &Method::HEAD, "/-/reload.js") => return script(PAGE_SCRIPT),
            (&Method::GET | &Method::HEAD, "/-/reload-worker.js") => return script(WORKER_SCRIPT),
            _ => {}
        }
        if accepts_pages(request.headers()) {
            for field in [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, ACCEPT_ENCODING] {
                request.headers_mut().remove(field);
            }
        }
        // Before the page is read: a change in between makes one more reload, and is not lost.
        let version = *self.changes.borrow();
        let mut response = self.app.call(request).await;
        if is_page(response.headers()) {
            // A file of its own, since pages may refuse scripts that are part of them.
            let script = format!(
                "\n<script src=\"{}/-/reload.js\" data-version=\"{}\" async></script>\n",
                self.prefix,
                version.name()
            );
            return self.with_script(response, script, is_head).await;
        }
        response.headers_mut().insert(CACHE_CONTROL, NO_CACHE);
        response
    }

    fn describe(&self, outline: &mut Outline) {
        outline.option("at", EVENTS).wraps(&self.app);
    }
}

/// A script of ours.
fn script(text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
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
    let own = b"; script-src 'self'; connect-src 'self'; worker-src 'self'";
    HeaderValue::from_bytes(&[policy.as_bytes(), own].concat()).ok()
}

fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

/// Watches the files of a tree until all receivers are dropped.
///
/// Looks at least five times a second, but never for more than a twentieth of the time.
pub(crate) fn watch(tree: Tree) -> (Sender<Version>, Receiver<Version>) {
    let (sender, receiver) = watch::channel(Version::first());
    let teller = sender.clone();
    thread::spawn(move || {
        let mut known = tree.look();
        if known.is_partial {
            eprintln!(
                "vestibule: --watch: too many files; only those nearest to the root are watched"
            );
        }
        while !teller.is_closed() {
            let start = Instant::now();
            let mut found = tree.look();
            let took = start.elapsed();
            if known.compare(&found) != Change::Nothing {
                // A build writes many files: its end is waited for, for a while. This wait also covers a second write
                // within the grain of the file system's clock, which no stamp shows.
                let deadline = Instant::now() + LONGEST_BUILD;
                loop {
                    thread::sleep(INTERVAL.max(took));
                    let later = tree.look();
                    let is_done = found.compare(&later) == Change::Nothing;
                    found = later;
                    if is_done || Instant::now() > deadline {
                        break;
                    }
                }
                // A file may be as it was by now.
                let change = known.compare(&found);
                if change != Change::Nothing {
                    teller.send_modify(|version| *version = version.next(change));
                }
            }
            known = found;
            thread::sleep(INTERVAL.max(took * 20));
        }
    });
    (sender, receiver)
}

const EVENTS: &str = "/-/reload";

/// Follows the events at an address, for as long as they are wanted, and passes each on. A browser connects again by itself
/// when a connection ends, but not after an answer that is not a stream of events, such as the 502 of a proxy.
macro_rules! follow {
    () => {
        r#"
const follow = (url, pass) => {
  let events, timer;
  const start = () => {
    events = new EventSource(url);
    events.addEventListener("change", (event) => pass(event.data));
    events.addEventListener("error", () => {
      if (events.readyState === EventSource.CLOSED) timer = setTimeout(start, 3000);
    });
  };
  start();
  return () => { clearTimeout(timer); events.close(); };
};
"#
    };
}

/// The shared worker of all tabs. It keeps the last event for the next page.
const WORKER_SCRIPT: &str = concat!(
    "// Of `vestibule serve --watch`: receives the events for all tabs.\n",
    follow!(),
    r#"
let last = "";
const pages = new BroadcastChannel("vestibule-reload");
follow(new URL("reload", location), (data) => {
  last = data;
  pages.postMessage(data);
});
addEventListener("connect", (event) => {
  if (last !== "") event.ports[0].postMessage(`now ${last.split(" ")[1]}`);
});
"#
);

/// The script of each page.
const PAGE_SCRIPT: &str = concat!(
    "// Of `vestibule serve --watch`: loads this page again when a file changes.\n{",
    follow!(),
    r#"
const own = document.currentScript;
let seen = own.dataset.version;

const loadStyles = () => {
  const links = [...document.querySelectorAll("link[rel~=stylesheet]")];
  const ours = links.filter((link) => new URL(link.href).origin === location.origin);
  for (const link of ours) {
    const url = new URL(link.href);
    url.searchParams.set("reload", Date.now());
    link.href = url;
  }
  return ours.length > 0;
};

// Whether this tab was loaded again for the version before: a service worker that keeps pages would make it load for ever.
const isRepeated = (version) => {
  const key = "vestibule-reload";
  if (sessionStorage.getItem(key) === version) return true;
  sessionStorage.setItem(key, version);
  return false;
};

const hear = (data) => {
  const [change, version] = data.split(" ");
  seen ??= version;
  const [start, number] = version.split(".").map(Number);
  const [seenStart, seenNumber] = seen.split(".").map(Number);
  // The worker may be behind this page, which is new.
  if (start < seenStart || (start === seenStart && number <= seenNumber)) return;
  const isNext = start === seenStart && number === seenNumber + 1;
  seen = version;
  if (change === "styles" && isNext && loadStyles()) return;
  try {
    if (isRepeated(version)) return;
  } catch {
    // There is no storage: only what changes from now on counts.
    if (change === "now") return;
  }
  location.reload();
};

// Without a shared worker: a stream while the tab is visible, since a browser has few connections.
const followAlone = () => {
  let end;
  const turn = () => {
    if (document.hidden) { end?.(); end = undefined; }
    else end ??= follow(new URL("reload", own.src), hear);
  };
  document.addEventListener("visibilitychange", turn);
  turn();
};

try {
  const pages = new BroadcastChannel("vestibule-reload");
  pages.addEventListener("message", (event) => hear(event.data));
  const worker = new SharedWorker(new URL("reload-worker.js", own.src), "vestibule-reload");
  worker.port.onmessage = (event) => hear(event.data);
  worker.addEventListener("error", followAlone, { once: true });
} catch {
  followAlone();
}
}
"#
);

const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The largest page that gets the script, in bytes.
const MAX_PAGE: u64 = 16 * 1024 * 1024;

/// The longest time without a byte in a stream; proxies end one that is silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(20);

const INTERVAL: Duration = Duration::from_millis(200);

const LONGEST_BUILD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    async fn page(_: Request) -> Response {
        let mut response = Response::new(Body::from("<p>one"));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        headers.insert(CONTENT_LENGTH, 6.into());
        response
    }

    fn get(path: &'static str) -> Request {
        let mut request = Request::default();
        *request.uri_mut() = path.parse().unwrap();
        request
    }

    #[tokio::test]
    async fn a_page_has_its_version_and_the_prefix_of_its_mount() {
        let (sender, receiver) = watch::channel(Version::first());
        for prefix in ["", "/app"] {
            let app = Reload::new(page, receiver.clone(), prefix.into());
            for _ in 0..2 {
                let version = sender.borrow().name();
                let response = app.call(get("/")).await;
                let length = response.headers()[CONTENT_LENGTH]
                    .to_str()
                    .unwrap()
                    .to_owned();
                let text = response.into_body().collect(9999).await.unwrap();
                assert_eq!(length, text.len().to_string());
                let want = format!(
                    "<p>one\n<script src=\"{prefix}/-/reload.js\" data-version=\"{version}\" async></script>\n"
                );
                assert_eq!(text, want);
                sender.send_modify(|version| *version = version.next(Change::Files));
            }
        }
    }

    #[tokio::test]
    async fn a_stream_begins_with_the_version_and_ends_with_the_server() {
        let (sender, receiver) = watch::channel(Version::first().next(Change::Files));
        let name = sender.borrow().name();
        let app = Reload::new(page, receiver, "".into());
        let body = app.call(get(EVENTS)).await.into_body();
        sender.send_modify(|version| *version = version.last());
        let text = body.collect(9999).await.unwrap();
        // The end came before the task ran, or after it.
        assert_eq!(text, format!("event: change\ndata: now {name}\n\n"));
    }

    #[tokio::test]
    async fn a_stream_ends_when_its_client_leaves() {
        let (sender, receiver) = watch::channel(Version::first());
        let app = Reload::new(page, receiver, "".into());
        let open: Vec<_> = {
            let mut open = Vec::new();
            for _ in 0..8 {
                open.push(app.call(get(EVENTS)).await);
            }
            open
        };
        assert_eq!(sender.receiver_count(), 9);
        drop(open);
        while sender.receiver_count() > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn events_name_the_change_and_the_version() {
        let first = Version::first();
        let next = first.next(Change::Styles);
        assert!(next.event(next.change).contains("data: styles "));
        assert!(next.event(Change::Nothing).contains("data: now "));
        assert!(first.name().ends_with(".0") && next.name().ends_with(".1"));
        assert_ne!(first.name(), Version::first().next(Change::Files).name());
    }
}
