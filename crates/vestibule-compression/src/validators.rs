//! Entity tags of encoded responses: `"v1"` becomes `"v1+gzip"`, and `"v1+gzip"` is `"v1"` to the app.
//!
//! A strong tag names bytes, and encoded bytes are different ones. Without suffixes, or with weak tags,
//! revalidation by byte would be impossible. Source: RFC 9110, sections 8.8.3.3 (tags of content codings), 13.1.1,
//! 13.1.2, 15.4.5.

use http::header::{ACCEPT_ENCODING, ETAG, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue};
use vestibule_fields::accept_encoding::AcceptEncoding;
use vestibule_fields::etag::{ETag, ETagList};

/// Adds the suffix of the coding to a strong tag. A weak tag stays, because it does not name bytes.
pub(crate) fn suffix(headers: &mut HeaderMap, token: &str) {
    if let Some(tag) = ETag::from_headers(headers).filter(|tag| !tag.is_weak()) {
        let tag = with_suffix(tag.opaque(), token);
        insert(headers, tag);
    }
}

/// Removes the suffixes of codings from the tags of a request, and keeps the tags for [`Sent::restore`].
///
/// A tag in `If-None-Match` counts only for a coding that the request accepts: a 304 would have a shared cache send the
/// bytes of that coding to a client that refuses it (RFC 9110, section 13.1.2; RFC 9111, section 4.3.4).
pub(crate) fn strip(headers: &mut HeaderMap) -> Sent {
    let is_named = |name| {
        headers
            .get_all(name)
            .iter()
            .any(|it| has_suffix(it.as_bytes()))
    };
    if !is_named(IF_NONE_MATCH) && !is_named(IF_MATCH) {
        return Sent::default();
    }
    let mut sent = Sent {
        refused: refused(headers),
        ..Sent::default()
    };
    for name in [IF_NONE_MATCH, IF_MATCH] {
        let has_suffix = headers
            .get_all(&name)
            .iter()
            .any(|value| has_suffix(value.as_bytes()));
        if !has_suffix {
            continue;
        }
        let Some(list) = ETagList::from_headers(headers, name.clone()) else {
            continue;
        };
        let is_refused = |opaque: &[u8]| name == IF_NONE_MATCH && sent.refuses(opaque);
        let mut plain = Vec::new();
        for tag in list.iter() {
            if !plain.is_empty() {
                plain.extend_from_slice(b", ");
            }
            if tag.is_weak() {
                plain.extend_from_slice(b"W/");
            }
            plain.push(b'"');
            let own = without_suffix(tag.opaque()).filter(|_| !is_refused(tag.opaque()));
            plain.extend_from_slice(own.unwrap_or(tag.opaque()));
            plain.push(b'"');
        }
        if let Ok(value) = HeaderValue::from_bytes(&plain) {
            sent.lists.extend(headers.get_all(&name).iter().cloned());
            headers.insert(name, value);
        }
    }
    sent
}

/// Removes a `Range` that may refer to encoded bytes, because only plain bytes have parts. That is a range
/// beside an `If-Match` with a suffix. If the client `gets_coded` bytes, it is also a range beside a date in
/// `If-Range`: the date is the same for both, and so is not a strong validator (RFC 9110, sections 8.8.2.2
/// and 13.1.5).
pub(crate) fn settle_range(headers: &mut HeaderMap, gets_coded: bool) {
    if !headers.contains_key(RANGE) {
        return;
    }
    let is_date = |value: &HeaderValue| !value.as_bytes().ends_with(b"\"");
    let is_by_date = gets_coded && headers.get(IF_RANGE).is_some_and(is_date);
    let is_of_coded = || {
        let tags = ETagList::from_headers(headers, IF_MATCH);
        tags.is_some_and(|tags| {
            tags.iter()
                .any(|tag| without_suffix(tag.opaque()).is_some())
        })
    };
    if is_by_date || is_of_coded() {
        headers.remove(RANGE);
        headers.remove(IF_RANGE);
    }
}

/// The lists of tags in a request, if one of the tags had a suffix.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    lists: Vec<HeaderValue>,
    /// The suffixes of codings that the request does not accept.
    refused: Vec<&'static [u8]>,
}

impl Sent {
    /// Returns whether a tag names bytes in a coding that the request does not accept.
    fn refuses(&self, opaque: &[u8]) -> bool {
        let suffix = opaque.rsplit(|&byte| byte == b'+').next();
        suffix.is_some_and(|suffix| self.refused.contains(&suffix))
    }

    /// Restores the client's tag in a response without content (304, 412): the app's `"v1"` becomes the
    /// client's `"v1+gzip"`.
    pub(crate) fn restore(&self, headers: &mut HeaderMap) {
        if self.lists.is_empty() {
            return;
        }
        let Some(tag) = ETag::from_headers(headers).filter(|tag| !tag.is_weak()) else {
            return;
        };
        let own = tag.opaque();
        let mut found = None;
        for value in &self.lists {
            for sent in ETagList::parse(value.as_bytes()).iter() {
                if sent.opaque() == own {
                    return;
                }
                let is_coded = without_suffix(sent.opaque()) == Some(own);
                if found.is_none() && is_coded && !self.refuses(sent.opaque()) {
                    found = Some([b"\"", sent.opaque(), b"\""].concat());
                }
            }
        }
        if let Some(tag) = found {
            insert(headers, tag);
        }
    }
}

/// Returns the suffixes of codings that a request does not accept, or none without `Accept-Encoding`.
fn refused(headers: &HeaderMap) -> Vec<&'static [u8]> {
    if !headers.contains_key(ACCEPT_ENCODING) {
        return Vec::new();
    }
    let accept = AcceptEncoding::from_headers(headers);
    let is_refused = |suffix: &&[u8]| {
        let quality = str::from_utf8(suffix)
            .ok()
            .and_then(|it| accept.quality(it));
        !quality.is_some_and(|quality| quality.is_acceptable())
    };
    SUFFIXES.into_iter().filter(is_refused).collect()
}

fn with_suffix(opaque: &[u8], token: &str) -> Vec<u8> {
    [b"\"", opaque, b"+", token.as_bytes(), b"\""].concat()
}

/// Returns `v1` of `v1+gzip`, or `None` without a known suffix.
fn without_suffix(opaque: &[u8]) -> Option<&[u8]> {
    let plus = opaque.iter().rposition(|&byte| byte == b'+')?;
    let (own, suffix) = opaque.split_at_checked(plus)?;
    let suffix = suffix.get(1..)?;
    SUFFIXES.contains(&suffix).then_some(own)
}

/// Returns whether a list might have a tag with a suffix. It costs less than parsing the list.
fn has_suffix(list: &[u8]) -> bool {
    list.contains(&b'+')
}

fn insert(headers: &mut HeaderMap, tag: Vec<u8>) {
    if let Ok(tag) = HeaderValue::from_bytes(&tag) {
        headers.insert(ETAG, tag);
    }
}

/// The codings that a tag may name, with any features: the previous build may have had others.
const SUFFIXES: [&[u8]; 4] = [b"zstd", b"br", b"gzip", b"deflate"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strong_tags_get_a_suffix() {
        let cases = [
            (r#""v1""#, r#""v1+gzip""#),
            (r#""""#, r#""+gzip""#),
            (r#""a+b""#, r#""a+b+gzip""#),
            (r#"W/"v1""#, r#"W/"v1""#),
            ("v1", "v1"),
        ];
        for (before, after) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(ETAG, before.parse().unwrap());
            suffix(&mut headers, "gzip");
            assert_eq!(headers[ETAG], after);
        }
    }

    #[test]
    fn suffixes_are_taken_off_lists() {
        let cases = [
            (r#""v1+gzip""#, r#""v1""#),
            (
                r#""v1+gzip", "v2+br" ,W/"v3+zstd""#,
                r#""v1", "v2", W/"v3""#,
            ),
            (r#""v1+gzip", "v2""#, r#""v1", "v2""#),
            (r#""v1", "v2""#, r#""v1", "v2""#),
            (r#""a+b""#, r#""a+b""#),
            (r#""a+gzip+br""#, r#""a+gzip""#),
            ("*", "*"),
            (r#""v1-gzip""#, r#""v1-gzip""#),
        ];
        for name in [IF_NONE_MATCH, IF_MATCH] {
            for (before, after) in cases {
                let mut headers = HeaderMap::new();
                headers.insert(&name, before.parse().unwrap());
                strip(&mut headers);
                assert_eq!(headers[&name], after);
            }
        }
    }

    #[test]
    fn a_tag_counts_only_for_a_coding_that_the_request_accepts() {
        let cases = [
            // Accept-Encoding, If-None-Match before and after, and the tag of a 304 to "v1"
            ("gzip", r#""v1+gzip""#, r#""v1""#, r#""v1+gzip""#),
            ("*", r#""v1+br""#, r#""v1""#, r#""v1+br""#),
            ("gzip;q=0", r#""v1+gzip""#, r#""v1+gzip""#, r#""v1""#),
            ("identity", r#""v1+zstd""#, r#""v1+zstd""#, r#""v1""#),
            ("", r#""v1+gzip""#, r#""v1+gzip""#, r#""v1""#),
            ("br", r#"W/"v1+gzip""#, r#"W/"v1+gzip""#, r#""v1""#),
            (
                "br",
                r#""v1+gzip", "v1+br""#,
                r#""v1+gzip", "v1""#,
                r#""v1+br""#,
            ),
            ("br", r#""v1+gzip", "v1""#, r#""v1+gzip", "v1""#, r#""v1""#),
            ("*, gzip;q=0", r#""v1+gzip""#, r#""v1+gzip""#, r#""v1""#),
        ];
        for (accept, before, after, named) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, accept.parse().unwrap());
            headers.insert(IF_NONE_MATCH, before.parse().unwrap());
            headers.insert(IF_MATCH, before.parse().unwrap());
            let sent = strip(&mut headers);
            assert_eq!(headers[IF_NONE_MATCH], after, "{accept}: {before}");
            let plain = [r#""v1""#, r#"W/"v1""#, r#""v1", "v1""#];
            assert!(plain.iter().any(|it| headers[IF_MATCH] == it), "{before}");
            let mut response = HeaderMap::new();
            response.insert(ETAG, r#""v1""#.parse().unwrap());
            sent.restore(&mut response);
            assert_eq!(response[ETAG], named, "{accept}: {before}");
        }
    }

    #[test]
    fn lists_in_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(IF_NONE_MATCH, r#""a+gzip""#.parse().unwrap());
        headers.append(IF_NONE_MATCH, r#""b""#.parse().unwrap());
        strip(&mut headers);
        let found: Vec<_> = headers.get_all(IF_NONE_MATCH).iter().collect();
        assert_eq!(found, [r#""a", "b""#]);
    }

    #[test]
    fn a_304_is_named_as_the_client_named_it() {
        let cases = [
            // the client's tag, the app's, the response's
            (r#""v1+gzip""#, r#""v1""#, r#""v1+gzip""#),
            (r#""v0+br", "v1+br""#, r#""v1""#, r#""v1+br""#),
            (r#""v1+gzip", "v1""#, r#""v1""#, r#""v1""#),
            (r#""v2+gzip""#, r#""v1""#, r#""v1""#),
            (r#""v1+gzip""#, r#"W/"v1""#, r#"W/"v1""#),
            (r#"W/"v1+gzip""#, r#""v1""#, r#""v1+gzip""#),
            (r#""v1""#, r#""v1""#, r#""v1""#),
        ];
        for (sent, own, answer) in cases {
            let mut request = HeaderMap::new();
            request.insert(IF_NONE_MATCH, sent.parse().unwrap());
            let sent = strip(&mut request);
            let mut response = HeaderMap::new();
            response.insert(ETAG, own.parse().unwrap());
            sent.restore(&mut response);
            assert_eq!(response[ETAG], answer);
        }
    }
}
