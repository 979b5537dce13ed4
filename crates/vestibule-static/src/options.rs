//! What may be said about the files of a [`StaticFiles`](crate::StaticFiles), and what follows for a name.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use vestibule_core::Outline;
use vestibule_fields::media_type::MediaType;
use vestibule_fields::quality::Weights;

use crate::glob::Glob;
use crate::hand_over::HandOver;
use crate::hashed::has_hashed_name;

#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Names of files that stand for their directory.
    pub(crate) index: Vec<Cow<'static, str>>,
    pub(crate) dotfiles: bool,
    /// Whether sidecars are looked for.
    pub(crate) precompressed: bool,
    /// Whether `about` is also looked for as `about.html`.
    pub(crate) clean_urls: bool,
    /// Whether a name with a hash in it is cached for good.
    pub(crate) hashed_names: bool,
    /// Whether directories without an index file are listed.
    pub(crate) listing: bool,
    /// The page of a single-page app.
    pub(crate) spa: Option<Cow<'static, str>>,
    /// The page of a 404.
    pub(crate) not_found: Option<Cow<'static, str>>,
    /// The types that were set, by extension or pattern.
    pub(crate) media_types: Vec<(Glob, HeaderValue)>,
    /// Files that are stored in a content coding.
    pub(crate) stored_encoded: Vec<Glob>,
    pub(crate) cache: Vec<(Glob, HeaderValue)>,
    pub(crate) headers: Vec<(Glob, HeaderName, HeaderValue)>,
    /// How the server in front is asked to send the files.
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
            not_found: None,
            media_types: Vec::new(),
            stored_encoded: Vec::new(),
            cache: Vec::new(),
            headers: Vec::new(),
            hand_over: None,
        }
    }
}

impl Options {
    /// The type that was set for a name: by the last rule that matches.
    pub(crate) fn media_type_rule(&self, name: &[u8]) -> Option<&HeaderValue> {
        let mut rules = self.media_types.iter().rev();
        rules
            .find(|(glob, _)| glob.matches(name))
            .map(|(_, value)| value)
    }

    /// Whether a file may be stored in a content coding.
    pub(crate) fn is_stored_encoded(&self, name: &[u8]) -> bool {
        self.stored_encoded.iter().any(|glob| glob.matches(name))
    }

    /// The `Cache-Control` of a file: the last rule that its name matches, else what its hash allows.
    pub(crate) fn cache_control(&self, name: &[u8]) -> Option<HeaderValue> {
        let rule = self.cache.iter().rev().find(|(glob, _)| glob.matches(name));
        match rule {
            Some((_, value)) => Some(value.clone()),
            None => (self.hashed_names && has_hashed_name(name)).then_some(IMMUTABLE),
        }
    }

    /// The headers that were said for a name, in order.
    pub(crate) fn headers(&self, name: &[u8]) -> Vec<(HeaderName, HeaderValue)> {
        let matching = self.headers.iter().filter(|(glob, ..)| glob.matches(name));
        matching
            .map(|(_, header, value)| (header.clone(), value.clone()))
            .collect()
    }

    /// Tells the outline what is not as it is by default.
    pub(crate) fn describe(&self, outline: &mut Outline) {
        outline.option("index", self.index.join(" "));
        let flags = [
            ("dotfiles", self.dotfiles),
            ("precompressed", self.precompressed),
            ("clean_urls", self.clean_urls),
            ("hashed_names", self.hashed_names),
            ("listing", self.listing),
        ];
        for (name, _) in flags.into_iter().filter(|(_, is_on)| *is_on) {
            outline.option(name, "yes");
        }
        for (name, page) in [("spa", &self.spa), ("not_found", &self.not_found)] {
            if let Some(page) = page {
                outline.option(name, page);
            }
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
        for (glob, name, _) in &self.headers {
            outline.option(format!("header {glob}"), name);
        }
    }
}

/// Whether a browser navigates: it says `text/html` by name, which scripts, images and programs do not.
///
/// Source: RFC 9110 section 12.5.1.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    Weights::from_headers(headers, http::header::ACCEPT).is_some_and(|weights| {
        weights
            .iter()
            .any(|weight| weight.is("text/html") && weight.quality().is_acceptable())
    })
}

/// A media type as a header value.
///
/// # Panics
///
/// When it is not a media type.
pub(crate) fn media_type_value<V: TryInto<HeaderValue>>(media_type: V) -> HeaderValue {
    let value = value(media_type);
    assert!(
        MediaType::parse(&value).is_some(),
        "{value:?} is not a media type: write a type and a subtype, as in text/plain"
    );
    value
}

/// A value of ours or of the one who set it up, as a header value.
///
/// # Panics
///
/// When it cannot stand in a header.
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
                options.cache_control(name.as_bytes()).unwrap(),
                want,
                "{name}"
            );
        }
        let options = Options {
            cache: Vec::new(),
            ..options
        };
        assert_eq!(
            options.cache_control(b"app-B7sZ3kfd.js").unwrap(),
            IMMUTABLE
        );
        assert_eq!(options.cache_control(b"app.js"), None);
    }

    #[test]
    fn who_wants_a_page() {
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
