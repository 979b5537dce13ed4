//! Sites as Chromium shows them, driven by its DevTools protocol over a pair of pipes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{Running, Scratch};

/// A headless Chromium with an empty profile, which ends with the test.
struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    /// The number of the last command.
    last: u64,
    _profile: Scratch,
}

/// A tab, as a session of the protocol.
struct Tab {
    target: String,
    session: String,
}

impl Browser {
    fn start(name: &str) -> Self {
        let profile = Scratch::new(&format!("chromium-{name}"));
        // The protocol is spoken at descriptors 3 and 4, a NUL after each message.
        // Pages that the back button finds in memory, with their scripts at work, tell nothing of the server's answers.
        let script = "exec chromium --headless --no-sandbox --disable-gpu --disable-features=BackForwardCache --no-first-run --mute-audio \
             --autoplay-policy=no-user-gesture-required --remote-debugging-pipe \"--user-data-dir=$0\" about:blank \
             3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut child = Command::new("sh")
            .args(["-c", script, profile.path()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = mpsc::channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while answers
                .read_until(0, &mut message)
                .is_ok_and(|count| count > 0)
            {
                let text = message.strip_suffix(&[0]).unwrap_or(&message);
                if sender.send(serde_json::from_slice(text).unwrap()).is_err() {
                    break;
                }
                message.clear();
            }
        });
        Self {
            commands: child.stdin.take().unwrap(),
            child,
            messages,
            last: 0,
            _profile: profile,
        }
    }

    /// Sends a command and waits for its answer; events in between are dropped.
    fn send(
        &mut self,
        session: Option<&str>,
        method: &str,
        parameters: Value,
    ) -> Result<Value, String> {
        self.last += 1;
        let mut command = json!({"id": self.last, "method": method, "params": parameters});
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        let written = self.commands.write_all(format!("{command}\0").as_bytes());
        written.expect("a browser listens: install the Debian package `chromium`");
        loop {
            let wait = self.messages.recv_timeout(Duration::from_secs(30));
            let mut message = wait.unwrap_or_else(|error| {
                panic!("{method}: {error}; does the Debian package `chromium` work here?")
            });
            if message["id"] == self.last {
                return match message.get("error") {
                    Some(error) => Err(error.to_string()),
                    None => Ok(message["result"].take()),
                };
            }
        }
    }

    /// Opens a tab at `url`.
    fn open(&mut self, url: &str) -> Tab {
        let tab = self.empty();
        self.go(&tab, url);
        tab
    }

    /// Opens a tab without a page.
    fn empty(&mut self) -> Tab {
        let target = self
            .send(None, "Target.createTarget", json!({"url": "about:blank"}))
            .unwrap();
        let target = target["targetId"].as_str().unwrap().to_owned();
        let parameters = json!({"targetId": target, "flatten": true});
        let session = self
            .send(None, "Target.attachToTarget", parameters)
            .unwrap();
        Tab {
            session: session["sessionId"].as_str().unwrap().to_owned(),
            target,
        }
    }

    /// Types an address.
    fn go(&mut self, tab: &Tab, url: &str) {
        let went = self
            .send(Some(&tab.session), "Page.navigate", json!({"url": url}))
            .unwrap();
        assert!(went.get("errorText").is_none(), "{url}: {went}");
    }

    fn close(&mut self, tab: &Tab) {
        self.send(None, "Target.closeTarget", json!({"targetId": tab.target}))
            .unwrap();
    }

    /// Runs `script` in each page of the tab before the page's own.
    fn prepare(&mut self, tab: &Tab, script: &str) {
        self.send(Some(&tab.session), "Page.enable", json!({}))
            .unwrap();
        let method = "Page.addScriptToEvaluateOnNewDocument";
        self.send(Some(&tab.session), method, json!({"source": script}))
            .unwrap();
    }

    /// The value of an expression, awaited; an error when the page throws or goes away.
    fn value(&mut self, tab: &Tab, expression: &str) -> Result<Value, String> {
        let parameters = json!({"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true});
        let mut answer = self.send(Some(&tab.session), "Runtime.evaluate", parameters)?;
        match answer.get("exceptionDetails") {
            Some(error) => Err(error.to_string()),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// Runs a script that makes the tab go to another page.
    fn leave(&mut self, tab: &Tab, script: &str) {
        // The page may go away before the browser has answered, and the answer is then an error.
        let _ = self.value(tab, script);
    }

    /// Waits until the expression has this value.
    fn until(&mut self, tab: &Tab, expression: &str, want: impl Into<Value>) {
        let (begun, want) = (Instant::now(), want.into());
        loop {
            // A page that is being loaded has no value yet.
            let value = self.value(tab, expression);
            if value.as_ref() == Ok(&want) {
                return;
            }
            let state = self.value(
                tab,
                "location.href + ' ' + document.documentElement.outerHTML",
            );
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{expression} is {value:?} and not {want}: {state:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends itself when the pipe is closed; this is for one that hangs.
        let _ = self.send(None, "Browser.close", json!({}));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const TEXT: &str = "document.querySelector('p')?.textContent.trim()";

#[test]
fn eight_tabs_are_loaded_again_by_watch() {
    let site = Scratch::new("eight-tabs");
    site.write("style.css", "p { color: rgb(1, 1, 1) }");
    site.write("index.html", "<link rel=stylesheet href=style.css><p>one");
    // A page may forbid every script and every worker: those of `--watch` are allowed.
    let policy = "*=content-security-policy: default-src 'none'; style-src 'self'";
    let running = Running::serve(&[site.path(), "--watch", "--header", policy]);
    let mut browser = Browser::start("eight-tabs");
    let tabs: Vec<_> = (0..8).map(|_| browser.open(&running.address)).collect();
    // With a stream in each tab, six connections are all that a browser opens: the seventh would show nothing.
    for tab in &tabs {
        browser.until(tab, TEXT, "one");
    }
    site.write(
        "index.html",
        "<link rel=stylesheet href=style.css><p>one and two",
    );
    for tab in &tabs {
        browser.until(tab, TEXT, "one and two");
        browser.value(tab, "window.isMarked = true").unwrap();
    }
    // Style sheets alone are loaded into the pages that are there.
    let colour = "getComputedStyle(document.querySelector('p')).color";
    site.write("style.css", "p { color: rgb(2, 2, 2) }");
    for tab in &tabs {
        browser.until(tab, colour, "rgb(2, 2, 2)");
        browser.until(tab, "window.isMarked", true);
    }
    for tab in &tabs[1..] {
        browser.close(tab);
    }
    site.write("index.html", "<p>three");
    browser.until(&tabs[0], TEXT, "three");
    drop(browser);
    let (log, _) = running.interrupt();
    let streams = log.matches("\"GET /-/reload HTTP/1.1\" ").count();
    assert!((1..8).contains(&streams), "{streams} streams: {log}");
}

#[test]
fn a_tab_without_shared_workers_is_loaded_again_too() {
    let site = Scratch::new("no-worker");
    site.write("index.html", "<p>one");
    let running = Running::serve(&[site.path(), "--watch"]);
    let mut browser = Browser::start("no-worker");
    let tab = browser.empty();
    browser.prepare(&tab, "delete window.SharedWorker;");
    browser.go(&tab, &running.address);
    browser.until(&tab, TEXT, "one");
    browser.until(&tab, "typeof SharedWorker", "undefined");
    site.write("index.html", "<p>one and two");
    browser.until(&tab, TEXT, "one and two");
    drop(browser);
    running.interrupt();
}

#[test]
fn a_page_that_lags_behind_is_loaded_again_once() {
    let site = Scratch::new("lags");
    site.write("index.html", "<p>one");
    // A worker of the site that keeps its pages, as offline apps do.
    site.write(
        "worker.js",
        "addEventListener('install', (event) => event.waitUntil(caches.open('a').then((it) => it.add('/'))));
         addEventListener('activate', (event) => event.waitUntil(clients.claim()));
         addEventListener('fetch', (event) => {
           if (event.request.mode === 'navigate') event.respondWith(caches.match('/'));
         });",
    );
    let running = Running::serve(&[site.path(), "--watch"]);
    let mut browser = Browser::start("lags");
    let tab = browser.open(&running.address);
    browser.until(&tab, TEXT, "one");
    let register = "navigator.serviceWorker.register('/worker.js').then(() => navigator.serviceWorker.ready).then(() => true)";
    browser.until(&tab, register, true);
    browser.prepare(
        &tab,
        "sessionStorage.loads = Number(sessionStorage.loads ?? 0) + 1;",
    );
    // The kept page is of the first version, and the stream says so each time: it is loaded once for each change.
    for loads in 1..=3 {
        site.write("other.txt", &"x".repeat(loads));
        browser.until(&tab, "sessionStorage.loads", loads.to_string());
        browser.until(&tab, "document.readyState", "complete");
        browser.until(&tab, TEXT, "one");
    }
    browser.until(&tab, "sessionStorage.loads", "3");
    drop(browser);
    running.interrupt();
}

#[test]
fn sound_is_played_from_the_middle() {
    let site = Scratch::new("seek");
    // Ten minutes of silence: PCM, one channel, 8,000 bytes a second.
    let length = 600 * 8000_u32;
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + length).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(8000_u32.to_le_bytes());
    wav.extend(8000_u32.to_le_bytes());
    wav.extend(b"\x01\0\x08\0data");
    wav.extend(length.to_le_bytes());
    wav.resize(44 + length as usize, 0x80);
    std::fs::write(format!("{}/long.wav", site.path()), wav).unwrap();
    site.write(
        "index.html",
        "<audio src=long.wav preload=metadata></audio>",
    );
    let running = Running::serve(&[site.path(), "--log-format", "%U %{range}i"]);
    let mut browser = Browser::start("seek");
    let tab = browser.open(&running.address);
    let sound = "document.querySelector('audio')";
    browser.until(
        &tab,
        &format!("{sound}?.seekable.length && {sound}.seekable.end(0)"),
        600,
    );
    let seek = format!(
        "new Promise((resolve) => {{ {sound}.onseeked = () => resolve({sound}.currentTime); {sound}.currentTime = 500; }})"
    );
    assert_eq!(browser.value(&tab, &seek), Ok(500.into()));
    let played = format!("{sound}.play().then(() => true)");
    assert_eq!(browser.value(&tab, &played), Ok(true.into()));
    browser.until(&tab, &format!("{sound}.currentTime > 500"), true);
    drop(browser);
    let (log, _) = running.interrupt();
    // It asks for what is near the place, and not for all that is before.
    let starts = log
        .lines()
        .filter_map(|line| line.strip_prefix("/long.wav bytes="));
    let mut starts = starts.filter_map(|range| range.split('-').next()?.parse::<u32>().ok());
    assert!(starts.any(|start| start > 3_000_000), "{log}");
}

#[test]
fn a_missing_tile_of_another_origin_is_a_404_and_not_an_error_of_cors() {
    let (site, tiles) = (Scratch::new("map"), Scratch::new("tiles"));
    site.write("index.html", "<p>map");
    tiles.write("0.pbf", "tile");
    for (options, found, missing) in [
        (&["--cors"][..], json!(200), json!(404)),
        (&[], json!("blocked"), json!("blocked")),
    ] {
        let tiles = Running::serve(&[&[tiles.path()], options].concat());
        let map = Running::serve(&[site.path()]);
        let mut browser = Browser::start("map");
        let tab = browser.open(&map.address);
        browser.until(&tab, TEXT, "map");
        for (name, want) in [("0.pbf", found), ("9/9/9.pbf", missing)] {
            let url = format!("{}{name}", tiles.address);
            // A header of its own makes the browser ask for permission first.
            for headers in ["{}", "{'x-map': '1'}"] {
                let fetch = format!(
                    "fetch('{url}', {{headers: {headers}}}).then((it) => it.status, () => 'blocked')"
                );
                assert_eq!(
                    browser.value(&tab, &fetch),
                    Ok(want.clone()),
                    "{options:?} {name} {headers}"
                );
            }
        }
        drop(browser);
        map.interrupt();
        tiles.interrupt();
    }
}

/// Writes a build of a single-page app as bundlers do: a page, whose time is long ago, that loads a script with a hash in its
/// name. The script of the build before is gone.
fn build(site: &Scratch, version: &str, hash: &str, seconds: u64) {
    let _ = std::fs::remove_dir_all(format!("{}/assets", site.path()));
    std::fs::create_dir(format!("{}/assets", site.path())).unwrap();
    let script =
        format!("document.querySelector('p').textContent = '{version} ' + location.pathname;");
    site.write(&format!("assets/index-{hash}.js"), &script);
    // Written aside and renamed, so that no request meets half of it.
    let page = format!(
        "<p></p><a href=/>home</a><script type=module src=/assets/index-{hash}.js></script>"
    );
    site.write("new.html", &page);
    let (new, page) = (
        format!("{}/new.html", site.path()),
        format!("{}/index.html", site.path()),
    );
    let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
    std::fs::File::open(&new)
        .unwrap()
        .set_modified(time)
        .unwrap();
    std::fs::rename(new, page).unwrap();
}

#[test]
fn a_deploy_is_seen_by_old_tabs_new_tabs_and_the_back_button() {
    let site = Scratch::new("deploy");
    build(&site, "v1", "DiwrgTda", 1_500_000_000);
    let running = Running::serve(&[
        site.path(),
        "--spa",
        "--hashed-names",
        "--log-format",
        "%U %>s",
    ]);
    let mut browser = Browser::start("deploy");
    let old = browser.open(&running.address);
    browser.until(&old, TEXT, "v1 /");
    browser.go(&old, &format!("{}settings/profile", running.address));
    browser.until(&old, TEXT, "v1 /settings/profile");

    build(&site, "v2", "B5qV0kRz", 1_500_086_400);
    // A click in the old tab, to an address that is in the cache.
    browser.leave(&old, "document.querySelector('a').click()");
    browser.until(&old, TEXT, "v2 /");
    let new = browser.open(&running.address);
    browser.until(&new, TEXT, "v2 /");
    browser.go(&new, &format!("{}settings/profile", running.address));
    browser.until(&new, TEXT, "v2 /settings/profile");
    // The back button takes what is in the cache, whatever its age: each address has its new page there.
    for path in ["/settings/profile", "/"] {
        browser.leave(&old, "history.back()");
        browser.until(&old, TEXT, format!("v2 {path}"));
    }
    drop(browser);
    let (log, _) = running.interrupt();
    assert!(!log.contains("/assets/index-DiwrgTda.js 404"), "{log}");
}

/// Compresses a text as `gzip` does.
fn gzip(site: &Scratch, name: &str, text: &str) {
    site.write(name, text);
    let path = format!("{}/{name}", site.path());
    let status = Command::new("gzip")
        .args(["--keep", "--no-name", &path])
        .status();
    assert!(
        status
            .expect("gzip packs: install the Debian package `gzip`")
            .success()
    );
    std::fs::remove_file(path).unwrap();
}

#[test]
fn files_that_are_stored_compressed_are_run_and_drawn() {
    let site = Scratch::new("stored");
    gzip(
        &site,
        "game.framework.js",
        "window.game = document.currentScript.src.split('/').pop();",
    );
    gzip(&site, "game.data", "data of the game");
    let svg = "<svg xmlns='http://www.w3.org/2000/svg' width='40' height='30'><rect width='40' height='30'/></svg>";
    gzip(&site, "picture.svg", svg);
    let picture = |name: &str| format!("{}/picture.{name}", site.path());
    std::fs::rename(picture("svg.gz"), picture("svgz")).unwrap();
    site.write(
        "index.html",
        "<p>game</p><img src=picture.svgz><script src=game.framework.js.gz></script>",
    );
    for (options, runs) in [(&["--encoded", "*.gz"][..], true), (&[], false)] {
        let running = Running::serve(&[&[site.path()], options].concat());
        let mut browser = Browser::start("stored");
        let tab = browser.open(&running.address);
        browser.until(&tab, "document.readyState", "complete");
        // A picture in this form has no other use: it needs no option.
        browser.until(&tab, "document.querySelector('img').naturalWidth", 40);
        let script = browser.value(&tab, "window.game ?? 'refused'").unwrap();
        assert_eq!(
            script,
            if runs {
                "game.framework.js.gz"
            } else {
                "refused"
            }
        );
        let data = browser
            .value(&tab, "fetch('game.data.gz').then((it) => it.text())")
            .unwrap();
        assert_eq!(data == "data of the game", runs, "{data}");
        drop(browser);
        running.interrupt();
    }
}

#[test]
fn documents_are_read_in_the_encoding_that_they_declare() {
    let site = Scratch::new("latin");
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(format!("{}/{name}", site.path()), bytes).unwrap()
    };
    let latin = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>caf\xe9</a>";
    let utf8 = "<?xml version=\"1.0\"?><a>caf\u{e9}</a>".as_bytes();
    let utf16: Vec<u8> = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-16\"?><a>caf\u{e9}</a>"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for ending in ["xml", "rss", "atom", "svg"] {
        write(&format!("latin.{ending}"), latin);
        write(&format!("utf8.{ending}"), utf8);
        write(&format!("utf16.{ending}"), &utf16);
    }
    site.write("index.html", "<p>feeds");
    let running = Running::serve(&[site.path()]);
    let mut browser = Browser::start("latin");
    let tab = browser.open(&running.address);
    browser.until(&tab, TEXT, "feeds");
    for name in ["latin", "utf8", "utf16"] {
        for ending in ["xml", "rss", "atom", "svg"] {
            // A frame and a script read the same bytes in their own ways.
            let frame = format!(
                "new Promise((resolve) => {{
                   const frame = document.createElement('iframe');
                   frame.onload = () => resolve(frame.contentDocument?.documentElement.textContent ?? 'none');
                   frame.src = '{name}.{ending}';
                   document.body.append(frame);
                 }})"
            );
            if matches!(ending, "xml" | "svg") {
                let shown = browser.value(&tab, &frame).unwrap();
                assert_eq!(shown, "caf\u{e9}", "{name}.{ending} in a frame");
            }
            let script = format!(
                "new Promise((resolve) => {{
                   const request = new XMLHttpRequest();
                   request.onload = () => resolve(request.responseXML?.documentElement.textContent ?? 'not XML');
                   request.open('GET', '{name}.{ending}');
                   request.send();
                 }})"
            );
            let read = browser.value(&tab, &script).unwrap();
            assert_eq!(read, "caf\u{e9}", "{name}.{ending} by a script");
        }
    }
    drop(browser);
    running.interrupt();
}
