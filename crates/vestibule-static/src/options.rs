//! The options of a [`StaticFiles`](crate::StaticFiles), and their effect on a file name.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::Semaphore;
use vestibule_core::Outline;
use vestibule_fields::media_type::MediaType;
use vestibule_fields::quality::Weights;

use crate::glob::Glob;
use crate::hand_over::HandOver;
use crate::hashed::has_hashed_name;
use crate::header_rules::{Change, Rule};
use crate::redirect_rules::RedirectRule;
use crate::respond::NO_CACHE;
use crate::sidecar_rights::file_of;

#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Names of index files.
    pub(crate) index: Vec<Cow<'static, str>>,
    pub(crate) dotfiles: bool,
    /// Whether sidecars are used.
    pub(crate) precompressed: bool,
    /// Whether `about` is also looked for as `about.html`.
    pub(crate) clean_urls: bool,
    /// Whether files with a hash in their name are cached for a year.
    pub(crate) hashed_names: bool,
    /// Whether directories without an index file are listed.
    pub(crate) listing: bool,
    /// The page of a single-page app.
    pub(crate) spa: Option<Cow<'static, str>>,
    /// The pages of errors, by status.
    pub(crate) error_pages: Vec<(StatusCode, Cow<'static, str>)>,
    /// Whether the page of a 404 is searched in the requested folder and in those above it.
    pub(crate) nearest_not_found: bool,
    /// Whether a listing shows the README of its folder.
    pub(crate) readme: bool,
    /// Permits for archives, if folders are sent as archives.
    pub(crate) archives: Option<Arc<Semaphore>>,
    /// Patterns of files that are not served.
    pub(crate) hidden: Vec<Glob>,
    /// Configured types, by extension or pattern.
    pub(crate) media_types: Vec<(Glob, HeaderValue)>,
    /// Files that are stored in a content coding.
    pub(crate) stored_encoded: Vec<Glob>,
    pub(crate) cache: Vec<(Glob, HeaderValue)>,
    pub(crate) headers: Vec<Rule>,
    pub(crate) redirects: Vec<RedirectRule>,
    /// The header that lets the server in front send the files.
    pub(crate) hand_over: Option<HandOver>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            index: vec![Cow::Borrowed("index.html")],
            dotfiles: false,
            precompressed: false,
            clean_urls: false,
            hashed_names: false,
            listing: false,
            spa: None,
            error_pages: Vec::new(),
            nearest_not_found: false,
            readme: true,
            archives: None,
            hidden: Vec::new(),
            media_types: Vec::new(),
            stored_encoded: Vec::new(),
            cache: Vec::new(),
            headers: Vec::new(),
            redirects: Vec::new(),
            hand_over: None,
        }
    }
}

impl Options {
    /// Returns the type that is configured for a name, by the last rule that matches.
    pub(crate) fn media_type_rule(&self, name: &[u8]) -> Option<&HeaderValue> {
        let mut rules = self.media_types.iter().rev();
        rules
            .find(|(glob, _)| glob.matches(name))
            .map(|(_, value)| value)
    }

    /// Returns whether a file may be stored in a content coding.
    pub(crate) fn is_stored_encoded(&self, name: &[u8]) -> bool {
        self.stored_encoded.iter().any(|glob| glob.matches(name))
    }

    /// Returns the `Cache-Control` of a file: that of the last rule that matches its name,
    /// otherwise a default that depends on the name.
    ///
    /// Without the header, browsers cache a file for a tenth of its age (RFC 9111, section 4.2.2):
    /// an old page then requests scripts that a deploy has removed. With `spa` or `hashed_names`,
    /// the site is deployed as a whole, so browsers must revalidate everything that code depends
    /// on: pages, scripts, styles, data, manifests, WebAssembly. Images, fonts, sound and video
    /// without a hash have no header.
    pub(crate) fn cache_control(
        &self,
        name: &[u8],
        content_type: &HeaderValue,
    ) -> Option<HeaderValue> {
        let rule = self.cache.iter().rev().find(|(glob, _)| glob.matches(name));
        if let Some((_, value)) = rule {
            return Some(value.clone());
        }
        if self.hashed_names && has_hashed_name(name) {
            return Some(IMMUTABLE);
        }
        let is_media = [&b"image/"[..], b"font/", b"audio/", b"video/"]
            .iter()
            .any(|kind| content_type.as_bytes().starts_with(kind));
        ((self.hashed_names || self.spa.is_some()) && !is_media).then_some(NO_CACHE)
    }

    /// Returns whether a file, or a folder that contains it, is hidden. A compressed copy is hidden
    /// with its file.
    pub(crate) fn hides(&self, name: &[u8]) -> bool {
        let folders = name.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let files = std::iter::successors(Some(name), |name| file_of(name));
        !self.hidden.is_empty()
            && folders
                .map(|(at, _)| &name[..at])
                .chain(files)
                .any(|part| self.hidden.iter().any(|glob| glob.matches(part)))
    }

    /// Returns the name of the page for a status.
    pub(crate) fn error_page(&self, status: StatusCode) -> Option<&str> {
        let mut pages = self.error_pages.iter().rev();
        let page = pages.find(|(of, _)| *of == status).map(|(_, page)| &**page);
        match page {
            None if self.nearest_not_found && status == StatusCode::NOT_FOUND => Some("404.html"),
            page => page,
        }
    }

    /// Adds the options that differ from their defaults to the outline.
    pub(crate) fn describe(&self, outline: &mut Outline) {
        outline.option("index", self.index.join(" "));
        let flags = [
            ("dotfiles", self.dotfiles),
            ("precompressed", self.precompressed),
            ("clean_urls", self.clean_urls),
            ("hashed_names", self.hashed_names),
            ("listing", self.listing),
            ("archives", self.archives.is_some()),
            ("nearest_not_found", self.nearest_not_found),
        ];
        for (name, _) in flags.into_iter().filter(|(_, is_on)| *is_on) {
            outline.option(name, "yes");
        }
        if let Some(page) = &self.spa {
            outline.option("spa", page);
        }
        for (status, page) in &self.error_pages {
            outline.option(format!("page of {}", status.as_u16()), page);
        }
        for glob in &self.hidden {
            outline.option("hidden", glob);
        }
        if let Some(hand_over) = &self.hand_over {
            outline.option("hand_over", hand_over);
        }
        for (glob, value) in &self.media_types {
            outline.option(format!("type {glob}"), shown(value));
        }
        for glob in &self.stored_encoded {
            outline.option("stored_encoded", glob);
        }
        for (glob, value) in &self.cache {
            outline.option(format!("cache {glob}"), shown(value));
        }
        if !self.redirects.is_empty() {
            outline.option("redirect rules", self.redirects.len());
        }
        for Rule { pattern, change } in &self.headers {
            if let Change::Set(name, _) | Change::Join(name, _) = change {
                outline.option(format!("header {pattern}"), name);
            }
        }
    }
}

/// Returns whether the request is a navigation of a browser: it names `text/html`, which scripts,
/// images and programs do not.
///
/// Source: RFC 9110 section 12.5.1.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    Weights::from_headers(headers, http::header::ACCEPT).is_some_and(|weights| {
        weights
            .iter()
            .any(|weight| weight.is("text/html") && weight.quality().is_acceptable())
    })
}

/// Converts a media type to a header value.
///
/// # Panics
///
/// Panics when it is not a media type.
pub(crate) fn media_type_value<V: TryInto<HeaderValue>>(media_type: V) -> HeaderValue {
    let value = value(media_type);
    assert!(
        MediaType::parse(&value).is_some(),
        "{value:?} is not a media type: write a type and a subtype, as in text/plain"
    );
    value
}

/// Returns whether a client accepts everything without preference, as `curl`, crawlers and link
/// checkers do: no `Accept`, or only `*/*`.
pub(crate) fn takes_anything(headers: &HeaderMap) -> bool {
    if !headers.contains_key(http::header::ACCEPT) {
        return true;
    }
    Weights::from_headers(headers, http::header::ACCEPT).is_some_and(|weights| {
        weights
            .iter()
            .all(|weight| weight.is("*/*") && weight.quality().is_acceptable())
            && weights.iter().next().is_some()
    })
}

/// Returns whether the last segment of a path has an extension, as a script, an image or a download
/// has: at most twelve letters and digits, with at least one letter. `/release/v1.2` has none.
pub(crate) fn has_extension(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    last.rsplit_once('.').is_some_and(|(_, extension)| {
        (1..=12).contains(&extension.len())
            && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && extension.bytes().any(|byte| byte.is_ascii_alphabetic())
    })
}

/// Converts a configured value to a header value.
///
/// # Panics
///
/// Panics when it is not a valid header value.
pub(crate) fn value<V: TryInto<HeaderValue>>(value: V) -> HeaderValue {
    match value.try_into() {
        Ok(value) => value,
        Err(_) => panic!("a header value is visible ASCII and spaces, without line ends"),
    }
}

fn shown(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// A year, and no revalidation (RFC 8246).
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::media_type;

    #[test]
    fn the_last_rule_counts() {
        let cache = |pattern: &str, text: &'static str| {
            (Glob::new(pattern), HeaderValue::from_static(text))
        };
        let options = Options {
            hashed_names: true,
            cache: vec![
                cache("*", "no-cache"),
                cache("*.css", "max-age=60"),
                cache("/legacy/**", "no-store"),
            ],
            ..Options::default()
        };
        let cases = [
            ("index.html", "no-cache"),
            ("a/x.css", "max-age=60"),
            ("legacy/x.css", "no-store"),
            ("app-B7sZ3kfd.js", "no-cache"),
        ];
        for (name, want) in cases {
            assert_eq!(
                options.cache_control(name.as_bytes(), &HTML).unwrap(),
                want,
                "{name}"
            );
        }
        let options = Options {
            cache: Vec::new(),
            ..options
        };
        assert_eq!(
            options.cache_control(b"app-B7sZ3kfd.js", &HTML).unwrap(),
            IMMUTABLE
        );
    }

    #[test]
    fn files_that_a_deploy_replaces_are_revalidated() {
        let spa = Options {
            spa: Some("index.html".into()),
            ..Options::default()
        };
        let hashed = Options {
            hashed_names: true,
            ..Options::default()
        };
        let cases = [
            ("index.html", true),
            ("docs/about.htm", true),
            ("sw.js", true),
            ("manifest.webmanifest", true),
            ("manifest.json", true),
            ("version.json", true),
            ("env.js", true),
            ("main.css", true),
            ("app.wasm", true),
            ("robots.txt", true),
            ("sitemap.xml", true),
            ("feed", true),
            ("logo.svg", false),
            ("favicon.ico", false),
            ("font.woff2", false),
            ("clip.mp4", false),
        ];
        for (name, want) in cases {
            let value = HeaderValue::from_static(media_type(name));
            for options in [&spa, &hashed] {
                let found = options.cache_control(name.as_bytes(), &value);
                assert_eq!(found, want.then_some(NO_CACHE), "{name}");
            }
            let none = Options::default().cache_control(name.as_bytes(), &value);
            assert_eq!(none, None, "{name}");
        }
    }

    #[test]
    fn a_compressed_copy_is_hidden_with_its_file() {
        let options = Options {
            hidden: vec![
                Glob::new("draft.html"),
                Glob::new("*.map"),
                Glob::new("/old"),
            ],
            ..Options::default()
        };
        let hidden = [
            "draft.html",
            "draft.html.gz",
            "draft.html.br",
            "draft.html.zst",
            "draft.html.GZ",
            "draft.html.gz.br",
            "js/app.js.map",
            "js/app.js.map.gz",
            "old.gz",
            "old/a.html",
            "old/a.html.br",
        ];
        for name in hidden {
            assert!(options.hides(name.as_bytes()), "{name}");
        }
        for name in [
            "draft.html.txt",
            "my-draft.html.gz",
            "app.js.gz",
            "old.gzip",
            "a/old.gz",
        ] {
            assert!(!options.hides(name.as_bytes()), "{name}");
        }
        assert!(!Options::default().hides(b"draft.html.gz"));
    }

    #[test]
    fn clients_that_accept_anything() {
        let cases = [
            (&["*/*"][..], true),
            (&[], true),
            (&["*/*;q=0.8"], true),
            (&["*/*", "*/*"], true),
            (&["*/*;q=0"], false),
            (&["application/json, text/plain, */*"], false),
            (&["image/avif,image/webp,*/*;q=0.8"], false),
            (&["text/css,*/*;q=0.1"], false),
            (&["text/html"], false),
            (&[""], false),
        ];
        for (lines, want) in cases {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("accept", line.parse().unwrap());
            }
            assert_eq!(takes_anything(&headers), want, "{lines:?}");
        }
    }

    #[test]
    fn extensions_of_routes() {
        let cases = [
            ("/app.js", true),
            ("/a/photo.7z", true),
            ("/manifest.webmanifest", true),
            ("/me@example.org", true),
            ("/users/7", false),
            ("/v1.2/about", false),
            ("/release/v1.2", false),
            ("/", false),
            ("/a.", false),
            (
                "/verify/eyJhbGciOi.eyJzdWIiOiIx.SflKxwRJSMeKKF2QT4fwpMeJf36",
                false,
            ),
        ];
        for (path, want) in cases {
            assert_eq!(has_extension(path), want, "{path}");
        }
    }

    const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

    #[test]
    fn navigations_of_browsers() {
        let cases = [
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                true,
            ),
            ("TEXT/HTML", true),
            ("text/html;q=0", false),
            ("text/html;q=0, */*", false),
            ("*/*", false),
            ("text/*", false),
            ("application/json", false),
            ("", false),
        ];
        for (accept, want) in cases {
            let mut headers = HeaderMap::new();
            headers.insert("accept", accept.parse().unwrap());
            assert_eq!(wants_page(&headers), want, "{accept}");
        }
        assert!(!wants_page(&HeaderMap::new()));
    }
}
