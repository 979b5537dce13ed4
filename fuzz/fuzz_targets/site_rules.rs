#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_core::{App, Request};
use vestibule_static::{HeaderRules, Memory, RedirectRules, StaticFiles, Stored, has_hashed_name};

// Valid rules work for every path, and a rule for this host never leads to another host. A README
// never becomes raw markup.
fuzz_target!(|input: (&str, &str, &str, &str)| {
    let (path, headers, redirects, readme) = input;
    let _ = has_hashed_name(path);
    let Ok(uri) = path.parse::<http::Uri>() else {
        return;
    };
    let files = Memory::new().with("README.md", Stored::memory(readme.to_owned()));
    let mut app = StaticFiles::from_source(files).listing(true);
    if let Ok(rules) = HeaderRules::parse(headers) {
        app = app.header_rules(rules);
    }
    let is_local = !redirects.contains("://");
    if let Ok(rules) = RedirectRules::parse(redirects) {
        app = app.redirect_rules(rules);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without sockets needs nothing");
    let ask = |uri: http::Uri| {
        let mut request = Request::default();
        *request.uri_mut() = uri;
        runtime.block_on(app.call(request))
    };
    let response = ask(uri);
    if let Some(location) = response.headers().get("location").filter(|_| is_local) {
        let location = location.as_bytes();
        assert!(location.starts_with(b"/") && !location.starts_with(b"//"));
        assert!(!location.starts_with(b"/\\"));
    }
    let page = ask(http::Uri::from_static("/"));
    if page.status() == 200 {
        let page = runtime.block_on(page.into_body().collect(64 << 20));
        let page = page.expect("a page is in memory").to_ascii_lowercase();
        let has = |bad: &[u8]| page.windows(bad.len()).any(|it| it == bad);
        assert!(!has(b"<script") && !has(b"<img") && !has(b"href=\"javascript:"));
    }
});
