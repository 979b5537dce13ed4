//! Conditional requests.
//!
//! Source: RFC 9110 section 13.1 (the fields), 13.2.2 (their order).

use http::HeaderMap;
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use vestibule_fields::date::HttpDate;
use vestibule_fields::etag::{ETag, ETagList};
use vestibule_fields::if_range::IfRange;

/// The result of the conditions of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Respond as if there were no conditions.
    Proceed,
    /// 304: the client has this version.
    NotModified,
    /// 412: the file is not the version that the client expects.
    Failed,
}

/// Evaluates the conditions of a GET or HEAD against an existing file, in the order of section
/// 13.2.2.
///
/// `If-Match` disables `If-Unmodified-Since`, and `If-None-Match` disables `If-Modified-Since`,
/// also when they are invalid. A date is ignored when it is invalid or the file has none.
pub(crate) fn evaluate(
    headers: &HeaderMap,
    tag: Option<&ETag<'_>>,
    modified: Option<HttpDate>,
    now: HttpDate,
) -> Verdict {
    if let Some(list) = ETagList::from_headers(headers, IF_MATCH) {
        let holds = match tag {
            Some(tag) => list.strong_match(tag),
            None => list.is_any(),
        };
        if !holds {
            return Verdict::Failed;
        }
    } else if let (Some(modified), Some(since)) = (
        modified,
        HttpDate::from_headers(headers, IF_UNMODIFIED_SINCE, now),
    ) && modified > since
    {
        return Verdict::Failed;
    }
    if let Some(list) = ETagList::from_headers(headers, IF_NONE_MATCH) {
        let is_known = match tag {
            Some(tag) => list.weak_match(tag),
            None => list.is_any(),
        };
        if is_known {
            return Verdict::NotModified;
        }
    } else if let (Some(modified), Some(since)) = (
        modified,
        HttpDate::from_headers(headers, IF_MODIFIED_SINCE, now),
    ) && modified <= since
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Returns whether a condition of the request names `tag`.
pub(crate) fn names_tag(headers: &HeaderMap, tag: &ETag<'_>, now: HttpDate) -> bool {
    let list = |name| ETagList::from_headers(headers, name);
    list(IF_NONE_MATCH).is_some_and(|list| list.weak_match(tag))
        || list(IF_MATCH).is_some_and(|list| list.strong_match(tag))
        || matches!(
            IfRange::from_headers(headers, now),
            Some(IfRange::Tag(other)) if other.strong_eq(tag)
        )
}

/// Returns whether `Range` applies: there is no `If-Range`, or it is true.
///
/// A date is true only when the file is older than the current second, since it may change again
/// within it (section 8.8.2.2).
pub(crate) fn range_counts(
    headers: &HeaderMap,
    tag: Option<&ETag<'_>>,
    modified: Option<HttpDate>,
    now: HttpDate,
) -> bool {
    let settled = modified.filter(|modified| *modified < now);
    IfRange::from_headers(headers, now).is_none_or(|condition| condition.holds(tag, settled))
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Failed, NotModified, Proceed};
    use super::*;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const UNIX: i64 = 784_111_777;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn ask(lines: &[(&'static str, &str)]) -> Verdict {
        let tag = ETag::strong("v1").unwrap();
        let now = HttpDate::from_unix(1_700_000_000);
        evaluate(
            &headers(lines),
            Some(&tag),
            Some(HttpDate::from_unix(UNIX)),
            now,
        )
    }

    #[test]
    fn rfc9110_13_2_2_one_condition() {
        let cases = [
            ("if-match", "\"v1\"", Proceed),
            ("if-match", "\"v0\", \"v1\"", Proceed),
            ("if-match", "*", Proceed),
            ("if-match", "W/\"v1\"", Failed),
            ("if-match", "\"v0\"", Failed),
            ("if-match", "v1", Failed),
            ("if-match", "", Failed),
            ("if-none-match", "\"v1\"", NotModified),
            ("if-none-match", "W/\"v1\"", NotModified),
            ("if-none-match", "\"a,b\", \"v1\"", NotModified),
            ("if-none-match", "*", NotModified),
            ("if-none-match", "\"v0\"", Proceed),
            ("if-none-match", "v1", Proceed),
            ("if-none-match", "w/\"v1\"", Proceed),
            ("if-none-match", "\"*\"", Proceed),
            ("if-modified-since", SAME, NotModified),
            ("if-modified-since", AFTER, NotModified),
            ("if-modified-since", BEFORE, Proceed),
            (
                "if-modified-since",
                "Sunday, 06-Nov-94 08:49:37 GMT",
                NotModified,
            ),
            ("if-modified-since", "Sun Nov  6 08:49:37 1994", NotModified),
            (
                "if-modified-since",
                "Sun, 31 Feb 2026 08:49:37 GMT",
                Proceed,
            ),
            (
                "if-modified-since",
                "Sun, 06 Nov 99999 08:49:37 GMT",
                Proceed,
            ),
            ("if-modified-since", "yesterday", Proceed),
            ("if-unmodified-since", SAME, Proceed),
            ("if-unmodified-since", AFTER, Proceed),
            ("if-unmodified-since", BEFORE, Failed),
            ("if-unmodified-since", "tomorrow", Proceed),
        ];
        for (name, value, want) in cases {
            assert_eq!(ask(&[(name, value)]), want, "{name}: {value}");
        }
    }

    #[test]
    fn rfc9110_13_2_2_order() {
        let cases: &[(&[(&str, &str)], Verdict)] = &[
            (
                &[("if-match", "\"v1\""), ("if-unmodified-since", BEFORE)],
                Proceed,
            ),
            (
                &[("if-match", "\"v1\""), ("if-none-match", "\"v1\"")],
                NotModified,
            ),
            (
                &[("if-match", "\"v0\""), ("if-none-match", "\"v1\"")],
                Failed,
            ),
            (
                &[("if-none-match", "\"v0\""), ("if-modified-since", AFTER)],
                Proceed,
            ),
            (
                &[("if-none-match", "oops"), ("if-modified-since", AFTER)],
                Proceed,
            ),
            (
                &[("if-none-match", "\"v1\""), ("if-modified-since", BEFORE)],
                NotModified,
            ),
            (
                &[("if-unmodified-since", SAME), ("if-modified-since", SAME)],
                NotModified,
            ),
            (
                &[("if-unmodified-since", BEFORE), ("if-none-match", "*")],
                Failed,
            ),
            (
                &[("if-none-match", "\"v0\""), ("if-none-match", "\"v1\"")],
                NotModified,
            ),
            (
                &[("if-modified-since", SAME), ("if-modified-since", SAME)],
                Proceed,
            ),
        ];
        for (lines, want) in cases {
            assert_eq!(ask(lines), *want, "{lines:?}");
        }
    }

    #[test]
    fn tags_that_conditions_name() {
        let tag = ETag::strong("v1").unwrap();
        let now = HttpDate::from_unix(1_700_000_000);
        let cases = [
            ("if-none-match", "\"v1\"", true),
            ("if-none-match", "\"v0\", W/\"v1\"", true),
            ("if-none-match", "*", true),
            ("if-none-match", "\"v0\"", false),
            ("if-match", "\"v1\"", true),
            ("if-match", "W/\"v1\"", false),
            ("if-range", "\"v1\"", true),
            ("if-range", SAME, false),
            ("range", "bytes=0-1", false),
        ];
        for (name, value, expected) in cases {
            let found = names_tag(&headers(&[(name, value)]), &tag, now);
            assert_eq!(found, expected, "{name}: {value}");
        }
    }

    #[test]
    fn a_file_without_validators() {
        let cases = [
            ("if-match", "*", Proceed),
            ("if-match", "\"v1\"", Failed),
            ("if-none-match", "*", NotModified),
            ("if-none-match", "\"v1\"", Proceed),
            ("if-modified-since", AFTER, Proceed),
            ("if-unmodified-since", BEFORE, Proceed),
        ];
        let now = HttpDate::from_unix(1_700_000_000);
        for (name, value, want) in cases {
            let found = evaluate(&headers(&[(name, value)]), None, None, now);
            assert_eq!(found, want, "{name}: {value}");
        }
    }

    #[test]
    fn rfc9110_13_1_5_if_range() {
        let tag = ETag::strong("v1").unwrap();
        let modified = HttpDate::from_unix(UNIX);
        let now = HttpDate::from_unix(1_700_000_000);
        let cases = [
            ("\"v1\"", true),
            ("\"v0\"", false),
            ("W/\"v1\"", false),
            ("\"v0\", \"v1\"", false),
            (SAME, true),
            (BEFORE, false),
            (AFTER, false),
            ("garbage", false),
            ("*", false),
        ];
        for (value, want) in cases {
            let headers = headers(&[("if-range", value)]);
            assert_eq!(
                range_counts(&headers, Some(&tag), Some(modified), now),
                want,
                "{value}"
            );
        }
        assert!(range_counts(&HeaderMap::new(), None, None, now));
        let fresh = headers(&[("if-range", SAME)]);
        assert!(!range_counts(&fresh, None, Some(modified), modified));
    }
}
