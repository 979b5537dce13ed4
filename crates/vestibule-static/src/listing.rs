//! A directory listing as an HTML page, or as JSON for programs.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::fmt::Write;

use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue};
use vestibule_core::{Body, Response};
use vestibule_fields::date::HttpDate;
use vestibule_fields::quality::{Quality, Weights};

use crate::source::Listed;

/// The content of a listing.
#[derive(Debug)]
pub(crate) struct Listing<'a> {
    /// The name of the directory, relative to the root; empty for the root.
    pub(crate) name: &'a [u8],
    pub(crate) entries: Vec<Listed>,
    /// The README of the directory, as HTML.
    pub(crate) readme: Option<String>,
    /// Whether the directory can be downloaded as an archive.
    pub(crate) has_archives: bool,
}

/// The order of the entries, and the page to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct View {
    sort: Sort,
    is_descending: bool,
    /// The page number, counted from 1.
    page: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Name,
    Size,
    Date,
}

impl Listing<'_> {
    /// Responds with all entries as JSON to clients that prefer it to HTML, otherwise with the page
    /// that `query` selects.
    pub(crate) fn respond(mut self, headers: &HeaderMap, query: Option<&str>) -> Response {
        let view = View::parse(query.unwrap_or(""));
        sort(&mut self.entries, view);
        match wants_json(headers) {
            true => page(JSON, self.json()),
            false => {
                let mut response = page(HTML, self.html(view));
                if self.has_archives {
                    let headers = response.headers_mut();
                    headers.insert(CONTENT_SECURITY_POLICY, POLICY_WITH_FORM);
                }
                response
            }
        }
    }

    fn json(&self) -> String {
        let mut out = String::from("{\"path\":");
        json_text(&mut out, &self.path());
        out.push_str(",\"entries\":[");
        for (index, entry) in self.entries.iter().enumerate() {
            out.push_str(if index == 0 {
                "{\"name\":"
            } else {
                ",{\"name\":"
            });
            json_text(&mut out, &String::from_utf8_lossy(&entry.name));
            let kind = if entry.is_directory {
                "directory"
            } else {
                "file"
            };
            let _ = write!(out, ",\"type\":\"{kind}\",\"href\":\"{}\"", href(entry));
            if !entry.is_directory {
                let _ = write!(out, ",\"size\":{}", entry.length);
            }
            if let Some(modified) = entry.modified {
                let _ = write!(out, ",\"modified\":\"{}\"", iso(modified));
            }
            out.push('}');
        }
        out.push_str("]}\n");
        out
    }

    fn html(&self, view: View) -> String {
        let path = self.path();
        let mut out = String::with_capacity(4096 + self.entries.len().min(PER_PAGE) * 256);
        // Crawlers follow no link of a view that only has another order.
        let robots = if view.is_sorted() {
            "noindex, nofollow"
        } else {
            "noindex"
        };
        let _ = write!(
            out,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <meta name=\"robots\" content=\"{robots}\"><title>{}</title><style>{CSS}</style></head>\n<body>{ICONS}\n<h1>",
            escape(&path)
        );
        self.crumbs(&mut out);
        let _ = write!(out, "</h1>\n<p>{}</p>\n<table><thead><tr>", self.summary());
        for (sort, class, label) in COLUMNS {
            view.heading(&mut out, sort, class, label);
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        if !self.name.is_empty() {
            out.push_str("<tr><td><a href=\"../\"><svg aria-hidden=\"true\"><use href=\"#up\"/></svg>Parent folder</a></td>\
                          <td class=\"size\"></td><td class=\"date\"></td></tr>\n");
        }
        let pages = self.entries.len().div_ceil(PER_PAGE).max(1);
        let page = view.page.clamp(1, pages);
        for entry in self
            .entries
            .iter()
            .skip((page - 1) * PER_PAGE)
            .take(PER_PAGE)
        {
            row(&mut out, entry);
        }
        out.push_str("</tbody></table>\n");
        if pages > 1 {
            let _ = write!(
                out,
                "<nav aria-label=\"Pages\"><span>Page {page} of {pages}</span>"
            );
            if page > 1 {
                let _ = write!(
                    out,
                    "<a rel=\"prev\" href=\"{}\">Previous</a>",
                    View {
                        page: page - 1,
                        ..view
                    }
                    .link()
                );
            }
            if page < pages {
                let _ = write!(
                    out,
                    "<a rel=\"next\" href=\"{}\">Next</a>",
                    View {
                        page: page + 1,
                        ..view
                    }
                    .link()
                );
            }
            out.push_str("</nav>\n");
        }
        if self.has_archives {
            // Buttons instead of links: crawlers would follow links.
            out.push_str(
                "<form><button name=\"archive\" value=\"zip\">Download as zip</button> \
                 <button name=\"archive\" value=\"tar\">Download as tar</button></form>\n",
            );
        }
        if let Some(readme) = self.readme.as_ref().filter(|_| page == 1) {
            let _ = write!(out, "<article aria-label=\"README\">\n{readme}</article>\n");
        }
        out.push_str("</body></html>\n");
        out
    }

    /// Writes the path of the directory, each folder a link. Links are relative, so that they work
    /// below any mount prefix.
    fn crumbs(&self, out: &mut String) {
        let segments: Vec<_> = self
            .name
            .split(|&byte| byte == b'/')
            .filter(|s| !s.is_empty())
            .collect();
        let up = |count: usize| {
            if count == 0 {
                "./".to_owned()
            } else {
                "../".repeat(count)
            }
        };
        match segments.is_empty() {
            true => out.push_str("<span aria-current=\"page\">Home</span>/"),
            false => {
                let _ = write!(out, "<a href=\"{}\">Home</a>/", up(segments.len()));
            }
        }
        for (index, segment) in segments.iter().enumerate() {
            let text = String::from_utf8_lossy(segment);
            let text = escape(&text);
            let _ = match segments.len() - index - 1 {
                0 => write!(out, "<span aria-current=\"page\">{text}</span>/"),
                above => write!(out, "<a href=\"{}\">{text}</a>/", up(above)),
            };
        }
    }

    /// Returns a summary such as `2 folders, 3 files, 1.5 MB`.
    fn summary(&self) -> String {
        let folders = self
            .entries
            .iter()
            .filter(|entry| entry.is_directory)
            .count();
        let files = self.entries.len() - folders;
        let bytes = self
            .entries
            .iter()
            .map(|entry| entry.length)
            .fold(0, u64::saturating_add);
        let plural = |count: usize, one: &str| match count {
            1 => format!("1 {one}"),
            _ => format!("{count} {one}s"),
        };
        let mut parts = Vec::new();
        if folders > 0 {
            parts.push(plural(folders, "folder"));
        }
        if files > 0 {
            parts.push(plural(files, "file"));
            parts.push(size(bytes));
        }
        match parts.is_empty() {
            true => "Empty".to_owned(),
            false => parts.join(", "),
        }
    }

    /// Returns the path below the root, for display.
    fn path(&self) -> String {
        match self.name {
            b"" => "/".to_owned(),
            name => format!("/{}/", String::from_utf8_lossy(name)),
        }
    }
}

/// Returns a 404 page in the same style.
pub(crate) fn not_found() -> Response {
    let text = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>Not found</title><style>{CSS}</style></head>\n\
         <body><h1>Not found</h1>\n<p>There is nothing at this address. <a href=\"/\">Home</a></p></body></html>\n"
    );
    page(HTML, text)
}

/// Returns a response that varies by `Accept`.
fn page(kind: HeaderValue, text: String) -> Response {
    let mut response = Response::default();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CONTENT_LENGTH, text.len().into());
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(VARY, ACCEPT.into());
    *response.body_mut() = Body::from(text);
    response
}

impl View {
    /// Parses `sort=size&order=desc&page=2`. Skips unknown parts.
    fn parse(query: &str) -> Self {
        let mut view = Self {
            sort: Sort::Name,
            is_descending: false,
            page: 1,
        };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match (name, value) {
                ("sort", "name") => view.sort = Sort::Name,
                ("sort", "size") => view.sort = Sort::Size,
                ("sort", "date") => view.sort = Sort::Date,
                ("order", order) => view.is_descending = order == "desc",
                ("page", page) => view.page = page.parse().unwrap_or(1),
                _ => {}
            }
        }
        view
    }

    /// Returns whether the order differs from that of the listing without a query.
    fn is_sorted(self) -> bool {
        self.sort != Sort::Name || self.is_descending
    }

    fn link(self) -> String {
        let order = if self.is_descending { "desc" } else { "asc" };
        format!(
            "?sort={}&amp;order={order}&amp;page={}",
            self.sort.word(),
            self.page
        )
    }

    /// Writes the heading of a column: a link that sorts by it, or reverses the order if it is the
    /// sort column.
    fn heading(self, out: &mut String, sort: Sort, class: &str, label: &str) {
        let is_own = self.sort == sort;
        // Largest and latest first is the more useful order.
        let is_descending = if is_own {
            !self.is_descending
        } else {
            sort != Sort::Name
        };
        let (state, arrow) = match (is_own, self.is_descending) {
            (false, _) => ("", ""),
            (true, false) => (" aria-sort=\"ascending\"", " \u{2191}"),
            (true, true) => (" aria-sort=\"descending\"", " \u{2193}"),
        };
        let link = Self {
            sort,
            is_descending,
            page: 1,
        }
        .link();
        let _ = write!(
            out,
            "<th scope=\"col\"{class}{state}><a rel=\"nofollow\" href=\"{link}\">{label}{arrow}</a></th>"
        );
    }
}

impl Sort {
    const fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Size => "size",
            Self::Date => "date",
        }
    }
}

fn row(out: &mut String, entry: &Listed) {
    let name = String::from_utf8_lossy(&entry.name);
    let (icon, slash) = if entry.is_directory {
        ("dir", "/")
    } else {
        ("file", "")
    };
    let _ = write!(
        out,
        "<tr><td><a href=\"{}\"><svg aria-hidden=\"true\"><use href=\"#{icon}\"/></svg>{}{slash}</a></td><td class=\"size\">",
        href(entry),
        escape(&name)
    );
    if !entry.is_directory {
        let _ = write!(
            out,
            "<span title=\"{} bytes\">{}</span>",
            entry.length,
            size(entry.length)
        );
    }
    out.push_str("</td><td class=\"date\">");
    if let Some(modified) = entry.modified {
        let iso = iso(modified);
        let _ = write!(
            out,
            "<time datetime=\"{iso}\" title=\"{iso}\">{} {}</time>",
            &iso[..10],
            &iso[11..16]
        );
    }
    out.push_str("</td></tr>\n");
}

/// Sorts folders first; equal entries by name, always ascending.
fn sort(entries: &mut [Listed], view: View) {
    let by_name = |a: &Listed, b: &Listed| natural(&a.name, &b.name);
    entries.sort_unstable_by(|a, b| {
        let order = match view.sort {
            Sort::Name => by_name(a, b),
            Sort::Size => a.length.cmp(&b.length),
            Sort::Date => a.modified.cmp(&b.modified),
        };
        let order = if view.is_descending {
            order.reverse()
        } else {
            order
        };
        Reverse(a.is_directory)
            .cmp(&Reverse(b.is_directory))
            .then(order)
            .then_with(|| by_name(a, b))
    });
}

/// Compares names in natural order: without case at first, and `page2` before `page10`.
fn natural(a: &[u8], b: &[u8]) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let order = match (left, right) {
            ([], []) => return a.cmp(b),
            ([x, ..], [y, ..]) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (number, rest) = digits(left);
                let (other, other_rest) = digits(right);
                (left, right) = (rest, other_rest);
                number
                    .len()
                    .cmp(&other.len())
                    .then_with(|| number.cmp(other))
            }
            ([x, rest @ ..], [y, other @ ..]) => {
                (left, right) = (rest, other);
                x.to_ascii_lowercase().cmp(&y.to_ascii_lowercase())
            }
            _ => left.len().cmp(&right.len()),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Returns the leading digits without leading zeros, and the rest.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let zeros = number.iter().take_while(|&&byte| byte == b'0').count();
    (&number[zeros..], rest)
}

/// Returns the link to an entry. It begins with `./`, so that no name is read as a scheme or a
/// host.
fn href(entry: &Listed) -> String {
    let mut link = String::from("./");
    for &byte in &entry.name {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                link.push(char::from(byte))
            }
            _ => {
                let _ = write!(link, "%{byte:02X}");
            }
        }
    }
    if entry.is_directory {
        link.push('/');
    }
    link
}

/// Escapes text for HTML, in content and in quoted attributes. Shows characters that change the
/// text direction as escapes, so that no name can look like another.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    let is_special = |c: char| {
        matches!(c, '&' | '<' | '>' | '"' | '\'')
            || c.is_control()
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_special) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if is_special(c) => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Writes a JSON string (RFC 8259, section 7).
fn json_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Formats a size as `999 B`, `1.5 kB`, `12 MB`: at least two figures, in powers of 1000.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let bytes = u128::from(bytes);
    let (mut divisor, mut unit) = (1000, 0);
    while bytes + divisor / 2 >= 1000 * divisor {
        divisor *= 1000;
        unit += 1;
    }
    let tenths = (bytes * 10 + divisor / 2) / divisor;
    match tenths < 100 {
        true => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
        false => format!("{} {}", (bytes + divisor / 2) / divisor, UNITS[unit]),
    }
}

/// Formats a date as `1994-11-06T08:49:37Z`.
fn iso(date: HttpDate) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let text = date.to_string();
    let month = MONTHS.find(&text[8..11]).map_or(0, |at| at / 3 + 1);
    format!(
        "{}-{month:02}-{}T{}Z",
        &text[12..16],
        &text[5..7],
        &text[17..25]
    )
}

/// Returns whether `Accept` names JSON with a higher weight than HTML.
fn wants_json(headers: &HeaderMap) -> bool {
    let Some(weights) = Weights::from_headers(headers, ACCEPT) else {
        return false;
    };
    let of = |name| {
        let named = weights.iter().filter(|weight| weight.is(name));
        named
            .map(|weight| weight.quality())
            .max()
            .unwrap_or(Quality::ZERO)
    };
    of("application/json") > of("text/html")
}

/// Number of rows on a page.
const PER_PAGE: usize = 1000;

const COLUMNS: [(Sort, &str, &str); 3] = [
    (Sort::Name, "", "Name"),
    (Sort::Size, " class=\"size\"", "Size"),
    (Sort::Date, " class=\"date\"", "Modified (UTC)"),
];

const CSS: &str = include_str!("listing.css");

const ICONS: &str = "<svg hidden style=\"display:none\">\
    <symbol id=\"dir\" viewBox=\"0 0 20 20\"><path d=\"M2 5h6l2 2h8v9H2z\"/></symbol>\
    <symbol id=\"file\" viewBox=\"0 0 20 20\"><path d=\"M4 2h8l4 4v12H4zM12 2v4h4\"/></symbol>\
    <symbol id=\"up\" viewBox=\"0 0 20 20\"><path d=\"M5 9l5-5 5 5M10 4v12\"/></symbol></svg>";

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The policy allows only the styles of the page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
);

/// The buttons request the page itself, so the policy also allows its forms.
const POLICY_WITH_FORM: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'",
);

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &[u8], length: u64, unix: i64) -> Listed {
        Listed {
            name: name.to_vec(),
            is_directory: false,
            is_link: false,
            length,
            modified: Some(HttpDate::from_unix(unix)),
        }
    }

    fn folder(name: &str) -> Listed {
        Listed {
            name: name.into(),
            is_directory: true,
            is_link: false,
            length: 0,
            modified: None,
        }
    }

    #[test]
    fn orders() {
        let cases = [
            ("", "d1/ d2/ a B page2 page10"),
            ("sort=name&order=desc", "d2/ d1/ page10 page2 B a"),
            ("sort=size&order=desc", "d1/ d2/ page2 a B page10"),
            ("sort=date", "d1/ d2/ page10 page2 a B"),
            (
                "sort=nonsense&order=nonsense&page=x",
                "d1/ d2/ a B page2 page10",
            ),
        ];
        for (query, want) in cases {
            let mut entries = vec![
                file(b"page10", 1, 10),
                file(b"a", 2, 30),
                folder("d2"),
                file(b"B", 2, 30),
                file(b"page2", 9, 20),
                folder("d1"),
            ];
            sort(&mut entries, View::parse(query));
            let names: Vec<_> = entries
                .iter()
                .map(|entry| {
                    let slash = if entry.is_directory { "/" } else { "" };
                    format!("{}{slash}", String::from_utf8_lossy(&entry.name))
                })
                .collect();
            assert_eq!(names.join(" "), want, "{query}");
        }
    }

    #[test]
    fn crawlers_follow_pages_but_not_other_orders() {
        let cases = [
            ("", "noindex"),
            ("sort=name&order=asc&page=2", "noindex"),
            ("page=2", "noindex"),
            ("nonsense", "noindex"),
            ("sort=name&order=desc", "noindex, nofollow"),
            ("sort=size", "noindex, nofollow"),
            ("sort=date&order=asc", "noindex, nofollow"),
            ("order=desc&page=3", "noindex, nofollow"),
        ];
        let listing = Listing {
            name: b"",
            entries: vec![file(b"a", 1, 10)],
            readme: None,
            has_archives: false,
        };
        for (query, want) in cases {
            let html = listing.html(View::parse(query));
            let robots = format!("<meta name=\"robots\" content=\"{want}\">");
            assert!(html.contains(&robots), "{query}: {html}");
            assert_eq!(html.matches("<a rel=\"nofollow\" href=\"?").count(), 3);
            assert!(html.contains("Modified (UTC)"));
        }
    }

    #[test]
    fn natural_order() {
        let sorted = ["a", "A1", "a01", "a2", "a10", "a10b", "b", "B2"];
        for pair in sorted.windows(2) {
            assert_ne!(
                natural(pair[0].as_bytes(), pair[1].as_bytes()),
                Ordering::Greater,
                "{pair:?}"
            );
        }
        assert_eq!(natural(b"a", b"a"), Ordering::Equal);
        assert_ne!(natural(b"a", b"A"), Ordering::Equal);
    }

    #[test]
    fn sizes() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1449, "1.4 kB"),
            (9_949, "9.9 kB"),
            (9_999, "10 kB"),
            (12_345, "12 kB"),
            (999_499, "999 kB"),
            (999_999, "1.0 MB"),
            (5_368_709_120, "5.4 GB"),
            (u64::MAX, "18 EB"),
        ];
        for (bytes, want) in cases {
            assert_eq!(size(bytes), want, "{bytes}");
        }
    }

    #[test]
    fn dates() {
        assert_eq!(
            iso(HttpDate::from_unix(784_111_777)),
            "1994-11-06T08:49:37Z"
        );
        assert_eq!(iso(HttpDate::from_unix(-1)), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn hostile_names() {
        let names: [&[u8]; 7] = [
            b"javascript:alert(1)",
            b"<img src=x onerror=alert(1)>",
            b"\"onmouseover=\"alert(1)",
            b"'&amp;",
            b"//example.org",
            b"a\xffb",
            "photo\u{202e}gpj.exe".as_bytes(),
        ];
        let entries = names.iter().map(|name| file(name, 1, 5)).collect();
        let listing = Listing {
            name: b"<b>/x",
            entries,
            readme: None,
            has_archives: false,
        };
        let html = listing.html(View::parse(""));
        for bad in [
            "<img",
            "href=\"javascript",
            "onerror=alert(1)>",
            "\"onmouseover",
            "<b>",
            "\u{202e}",
            "href=\"//",
        ] {
            assert!(!html.contains(bad), "{bad}");
        }
        assert!(html.contains("href=\"./javascript%3Aalert%281%29\""));
        assert!(html.contains("href=\"./a%FFb\""));
        assert!(html.contains("<title>/&lt;b&gt;/x/</title>"));
        let json = listing.json();
        assert!(
            json.contains(r#""name":"\"onmouseover=\"alert(1)""#),
            "{json}"
        );
    }

    #[test]
    fn long_listings_are_split_into_pages() {
        let entries = (0..2500)
            .map(|n| file(format!("f{n}").as_bytes(), 1, 5))
            .collect();
        let listing = Listing {
            name: b"",
            entries,
            readme: None,
            has_archives: false,
        };
        for (page, rows, links) in [
            ("1", 1000, 1),
            ("2", 1000, 2),
            ("3", 500, 1),
            ("99", 500, 1),
            ("0", 1000, 1),
        ] {
            let html = listing.html(View::parse(&format!("page={page}")));
            assert_eq!(html.matches("<tr><td>").count(), rows, "{page}");
            let ways =
                html.matches("<a rel=\"prev\"").count() + html.matches("<a rel=\"next\"").count();
            assert_eq!(ways, links, "{page}");
        }
        assert_eq!(listing.json().matches("\"name\"").count(), 2500);
    }

    #[test]
    fn a_hundred_thousand_entries_are_a_page_of_a_thousand() {
        let mut entries: Vec<_> = (0..100_000)
            .rev()
            .map(|n| file(format!("f{n}").as_bytes(), 1, 5))
            .collect();
        let view = View::parse("page=100");
        sort(&mut entries, view);
        let listing = Listing {
            name: b"",
            entries,
            readme: None,
            has_archives: false,
        };
        let html = listing.html(view);
        assert_eq!(html.matches("<tr><td>").count(), 1000);
        assert!(html.contains("\"./f99999\"") && !html.contains("\"./f98999\""));
        assert!(html.len() < 1 << 20, "{}", html.len());
    }

    #[test]
    fn rfc9110_12_5_1_json_or_html() {
        let cases = [
            ("application/json", true),
            ("application/json, */*", true),
            ("application/json, text/html;q=0.9", true),
            ("application/json;q=0.9, text/html", false),
            ("application/json, text/html", false),
            ("application/json;q=0", false),
            ("*/*", false),
            ("text/html", false),
        ];
        for (accept, want) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(wants_json(&headers), want, "{accept}");
        }
    }
}
