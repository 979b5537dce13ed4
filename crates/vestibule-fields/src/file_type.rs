//! Media types by file name, and two properties of a type: whether it is text, and whether it is
//! worth compressing.
//!
//! `file_types.txt` beside this file is the one table for static files, compression and sidecars. A
//! line has a media type, a property and the extensions, with tabs between them. The lines are
//! sorted by type, ignoring case.
//!
//! | property | meaning |
//! |---|---|
//! | `text` | text that the name of the type does not show, such as `application/javascript` |
//! | `shrinks` | not text, but worth compressing, such as `application/wasm` |
//! | `archive` | an archive or a disk image: a compressed archive is a separate file, never a content coding |
//! | `-` | as the name of the type says: `text/*`, `*+json`, `*+xml` and `*+yaml` are text |
//!
//! An extension with `=gzip` belongs to files that are always stored in that content coding.
//!
//! # The charset
//!
//! Text types have `charset=utf-8`, because a browser reads text without it as windows-1252. XML
//! types have no charset: an XML file declares its encoding, and is UTF-8 or UTF-16 if it does not
//! (RFC 7303, section 3). A `charset` parameter would override the declaration. HTML and CSS have
//! `charset=utf-8`: the HTML standard requires UTF-8, and a page without a `<meta charset>` would
//! be read in another encoding. A byte order mark overrides the parameter in all of them.
//!
//! Source: IANA's registry of media types; RFC 9239 for JavaScript, RFC 9512 for YAML, RFC 6839 for
//! `+json` and `+xml`; the list of Debian's package `media-types` for the rest. Source code is
//! `text/plain`, which browsers show. `.ts` is TypeScript and not an MPEG transport stream.
//!
//! ```
//! use vestibule_fields::file_type::FileType;
//! use vestibule_fields::media_type::MediaType;
//!
//! let script = FileType::of_name("js/app.mjs").unwrap();
//! assert_eq!(script.media_type(), "text/javascript; charset=utf-8");
//! assert!(script.shrinks());
//!
//! let other = MediaType::parse("application/javascript").unwrap();
//! assert!(other.is_text() && other.shrinks());
//! ```

use crate::media_type::MediaType;

/// The media type of a file, from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileType {
    media_type: &'static str,
    property: Property,
    coding: Option<&'static str>,
}

/// The property of a type in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Property {
    Text,
    Shrinks,
    Archive,
    /// The name of the type shows it.
    Plain,
}

impl Property {
    /// Returns the property whose word begins with this byte.
    const fn of(first: u8) -> Self {
        match first {
            b't' => Self::Text,
            b's' => Self::Shrinks,
            b'a' => Self::Archive,
            _ => Self::Plain,
        }
    }
}

impl FileType {
    /// Finds the type of the last segment of `name`, by its extension or by a well-known name (RFC
    /// 8615). Returns `None` for an unknown name.
    ///
    /// The case of the extension does not matter; of several extensions, the last one counts. Does
    /// not allocate.
    ///
    /// ```
    /// use vestibule_fields::file_type::FileType;
    ///
    /// let media_type = |name| FileType::of_name(name).map(|found| found.media_type());
    /// assert_eq!(media_type("PHOTO.AVIF"), Some("image/avif"));
    /// assert_eq!(media_type("feed.rss"), Some("application/rss+xml"));
    /// assert_eq!(media_type(".well-known/openid-configuration"), Some("application/json"));
    /// assert_eq!(media_type("LICENSE"), None);
    /// ```
    #[must_use]
    pub fn of_name(name: impl AsRef<[u8]>) -> Option<Self> {
        let name = name.as_ref();
        match extension(name) {
            Some(own) => Self::of_extension(own).or_else(|| {
                // `1905.1` is one extension. Only names that end in a number need a second look-up.
                let is_number = own.iter().all(u8::is_ascii_digit);
                let stem = name.strip_suffix(own)?.strip_suffix(b".")?;
                let before = extension(stem).filter(|_| is_number)?;
                Self::of_extension(&[before, b".", own].concat())
            }),
            None => Self::of_well_known(name),
        }
    }

    fn of_extension(extension: &[u8]) -> Option<Self> {
        let mut key = [0; KEY];
        let start = extension.get(..extension.len().min(KEY))?;
        key.get_mut(..start.len())?.copy_from_slice(start);
        key.make_ascii_lowercase();
        let place = INDEX.keys.binary_search(&u128::from_be_bytes(key)).ok()?;
        let row = *INDEX.rows_of_keys.get(place)?;
        let (media_type, property, rest) = row_at(usize::from(row & !GZIP))?;
        // The key of a long extension is only its start.
        if extension.len() >= KEY {
            let line = rest.split('\n').next()?;
            let is_it = |other: &str| other.as_bytes().eq_ignore_ascii_case(extension);
            line.split(['\t', ' ']).find(|other| is_it(other))?;
        }
        Some(Self {
            media_type,
            property,
            coding: (row & GZIP != 0).then_some("gzip"),
        })
    }

    /// Returns the type of a name that a standard defines without an extension.
    fn of_well_known(name: &[u8]) -> Option<Self> {
        let mut segments = name.rsplit(|&byte| byte == b'/');
        let own = segments.next()?;
        let in_folder = || {
            // Issuers with a path have it after the name: `.well-known/openid-configuration/tenant`
            // (RFC 8414, section 3).
            let mut segments = name.split(|&byte| byte == b'/');
            segments.find(|segment| *segment == b".well-known")?;
            let first = segments.next()?;
            find_name(&WELL_KNOWN, first)
        };
        let media_type = find_name(&ANYWHERE, own).or_else(in_folder)?;
        let property =
            MediaType::parse(media_type).map_or(Property::Plain, |found| property_of(&found));
        Some(Self {
            media_type,
            property,
            coding: None,
        })
    }

    /// Returns the value for `Content-Type`, with its `charset` if it has one.
    ///
    /// ```
    /// use vestibule_fields::file_type::FileType;
    ///
    /// assert_eq!(FileType::of_name("a.txt").unwrap().media_type(), "text/plain; charset=utf-8");
    /// assert_eq!(FileType::of_name("a.svg").unwrap().media_type(), "image/svg+xml");
    /// ```
    #[must_use]
    pub const fn media_type(&self) -> &'static str {
        self.media_type
    }

    /// Returns whether the bytes are worth compressing. Files that are stored in a content coding
    /// are not.
    ///
    /// ```
    /// use vestibule_fields::file_type::FileType;
    ///
    /// let shrinks = |name| FileType::of_name(name).unwrap().shrinks();
    /// assert!(shrinks("a.svg") && shrinks("a.wasm") && shrinks("live.m3u8"));
    /// assert!(!shrinks("a.svgz") && !shrinks("a.png"));
    /// ```
    #[must_use]
    pub fn shrinks(&self) -> bool {
        self.coding.is_none()
            && match self.property {
                Property::Text | Property::Shrinks => true,
                Property::Archive => false,
                Property::Plain => {
                    MediaType::parse(self.media_type).is_some_and(|media| is_text_by_name(&media))
                }
            }
    }

    /// Returns the content coding in which all files with this extension are stored.
    ///
    /// ```
    /// use vestibule_fields::file_type::FileType;
    ///
    /// assert_eq!(FileType::of_name("logo.svgz").unwrap().coding(), Some("gzip"));
    /// assert_eq!(FileType::of_name("logo.svg").unwrap().coding(), None);
    /// ```
    #[must_use]
    pub const fn coding(&self) -> Option<&'static str> {
        self.coding
    }

    /// Returns whether a compressed file of this type may be sent as this type with a content
    /// coding. An archive may not, since clients store it: `a.tar.gz`.
    ///
    /// ```
    /// use vestibule_fields::file_type::FileType;
    ///
    /// assert!(FileType::of_name("game.wasm").unwrap().may_be_stored_encoded());
    /// assert!(!FileType::of_name("backup.tar").unwrap().may_be_stored_encoded());
    /// ```
    #[must_use]
    pub fn may_be_stored_encoded(&self) -> bool {
        self.coding.is_none() && self.property != Property::Archive
    }
}

impl MediaType<'_> {
    /// Returns whether the type is text, also where its name does not begin with `text/`.
    ///
    /// ```
    /// use vestibule_fields::media_type::MediaType;
    ///
    /// let is_text = |value| MediaType::parse(value).unwrap().is_text();
    /// assert!(is_text("text/css") && is_text("application/problem+json") && is_text("application/x-javascript"));
    /// assert!(!is_text("application/wasm"));
    /// ```
    #[must_use]
    pub fn is_text(&self) -> bool {
        is_text_by_name(self) || property_of(self) == Property::Text
    }

    /// Returns whether bytes of the type are worth compressing: text, and plain data such as
    /// WebAssembly and bitmaps. Unknown types are not.
    ///
    /// ```
    /// use vestibule_fields::media_type::MediaType;
    ///
    /// let shrinks = |value| MediaType::parse(value).unwrap().shrinks();
    /// assert!(shrinks("application/wasm") && shrinks("application/postscript"));
    /// assert!(!shrinks("image/avif") && !shrinks("application/octet-stream"));
    /// ```
    #[must_use]
    pub fn shrinks(&self) -> bool {
        is_text_by_name(self) || matches!(property_of(self), Property::Text | Property::Shrinks)
    }
}

/// Returns the part after the last dot of the last segment. A dot at the start of the segment does
/// not count.
///
/// ```
/// use vestibule_fields::file_type::extension;
///
/// assert_eq!(extension(b"a/app.min.JS"), Some(&b"JS"[..]));
/// assert_eq!(extension(b"a.b/c"), None);
/// assert_eq!(extension(b".gitignore"), None);
/// ```
#[must_use]
pub fn extension(name: &[u8]) -> Option<&[u8]> {
    let file = name.rsplit(|&byte| byte == b'/').next()?;
    let dot = file.iter().rposition(|&byte| byte == b'.')?;
    let (stem, rest) = file.split_at_checked(dot)?;
    let extension = rest.strip_prefix(b".")?;
    (!stem.is_empty() && !extension.is_empty()).then_some(extension)
}

/// Returns whether the name of a type shows that it is text: RFC 6839, RFC 9512.
fn is_text_by_name(media: &MediaType<'_>) -> bool {
    let is_suffix = |suffix: &str| SUFFIXES.iter().any(|one| suffix.eq_ignore_ascii_case(one));
    media.main().eq_ignore_ascii_case("text") || media.suffix().is_some_and(is_suffix)
}

/// Returns the property of a type in the table. Called for each response, so it searches only rows
/// with a property.
fn property_of(media: &MediaType<'_>) -> Property {
    let mut key = [0; TYPE_KEY];
    let essence = [media.main(), "/", media.subtype(), "\t"];
    let mut length = 0;
    for part in essence {
        let end = part.len().saturating_add(length);
        match key.get_mut(length..end) {
            Some(place) => place.copy_from_slice(part.as_bytes()),
            None => return Property::Plain,
        }
        length = end;
    }
    key.make_ascii_lowercase();
    let key = key.get(..length).unwrap_or_default();
    // A tab sorts before all bytes of a type, so a type with the tab after it sorts like the type.
    let start_of = |row: &u16| {
        let line = TABLE
            .as_bytes()
            .get(usize::from(*row)..)
            .unwrap_or_default();
        line.get(..length).unwrap_or(line)
    };
    let found = INDEX.special.binary_search_by(|row| start_of(row).cmp(key));
    let row = found.ok().and_then(|place| INDEX.special.get(place));
    let property = row.and_then(|row| {
        TABLE
            .as_bytes()
            .get(usize::from(*row).saturating_add(length))
    });
    property.map_or(Property::Plain, |first| Property::of(*first))
}

/// Returns the type and the property of a row, and the rest of the table after the type.
fn row_at(row: usize) -> Option<(&'static str, Property, &'static str)> {
    let start = usize::from(*INDEX.rows.get(row)?);
    let (media_type, rest) = TABLE.get(start..)?.split_once('\t')?;
    let property = Property::of(*rest.as_bytes().first()?);
    Some((media_type, property, rest))
}

/// Returns the type of `name` in a list that is sorted by name.
fn find_name(list: &[(&str, &'static str)], name: &[u8]) -> Option<&'static str> {
    let place = list.binary_search_by(|(other, _)| other.as_bytes().cmp(name));
    place
        .ok()
        .and_then(|place| list.get(place))
        .map(|(_, media_type)| *media_type)
}

/// The suffixes of types that are written in text.
const SUFFIXES: [&str; 4] = ["json", "xml", "yaml", "json-seq"];

/// Names that have a type in any folder.
const ANYWHERE: [(&str, &str); 2] = [
    ("apple-app-site-association", JSON),
    ("apple-developer-merchantid-domain-association", TEXT),
];

/// Names below `.well-known/`, without an extension, with the type from their standard.
///
/// Source: IANA's registry "Well-Known URIs" and the documents that it names; for passkeys and
/// FedCM, their specifications at W3C.
#[rustfmt::skip]
const WELL_KNOWN: [(&str, &str); 34] = [
    ("api-catalog", "application/linkset+json"),
    ("core", "application/link-format"),
    ("csvm", TEXT),
    ("fido-2fa-configuration", JSON),
    ("gnap-as-rs", JSON),
    ("host-meta", "application/xrd+xml"),
    ("http-opportunistic", JSON),
    ("jmap", JSON),
    ("jwt-vc-issuer", JSON),
    ("knx", "application/link-format"),
    ("looking-glass", JSON),
    ("matrix", JSON),
    ("nfv-oauth-server-configuration", JSON),
    ("nodeinfo", JSON),
    ("oauth-authorization-server", JSON),
    ("oauth-protected-resource", JSON),
    ("open-resource-discovery", JSON),
    ("openid-configuration", JSON),
    ("openid-credential-issuer", JSON),
    ("openid-federation", "application/entity-statement+jwt"),
    ("passkey-endpoints", JSON),
    ("private-token-issuer-directory", "application/private-token-issuer-directory"),
    ("pvd", "application/pvd+json"),
    ("reload-config", "application/p2p-overlay+xml"),
    ("repute-template", TEXT),
    ("resourcesync", "application/xml"),
    ("smart-configuration", JSON),
    ("ssf-configuration", JSON),
    ("traffic-advice", "application/trafficadvice+json"),
    ("uma2-configuration", JSON),
    ("web-identity", JSON),
    ("webauthn", JSON),
    ("webfinger", "application/jrd+json"),
    ("wot", "application/td+json"),
];

const JSON: &str = "application/json";

const TEXT: &str = "text/plain; charset=utf-8";

const TABLE: &str = include_str!("file_types.txt");

/// Length of a key of the index in bytes: one number. A longer extension has its start as key.
const KEY: usize = 16;

/// Buffer size in bytes for a type with a property and the tab after it. Longer types have no
/// property.
const TYPE_KEY: usize = 64;

/// A flag in a row number of the index: the extension belongs to files that are stored in gzip.
const GZIP: u16 = 1 << 15;

/// The offsets of the rows, and the row of each extension. Computed at compile time, so it costs no
/// start-up time.
struct Index {
    /// The offset of each row's line in the table.
    rows: [u16; COUNTS.0],
    /// The offsets of the rows with a property.
    special: [u16; COUNTS.2],
    /// The first [`KEY`] bytes of the extensions, padded with zeros, in order.
    keys: [u128; COUNTS.1],
    /// The row of each extension.
    rows_of_keys: [u16; COUNTS.1],
}

static INDEX: Index = index();

/// Number of rows, of extensions, and of rows with a property.
const COUNTS: (usize, usize, usize) = counts();

#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "it runs only at compile time, where a fault is a build error"
)]
const fn counts() -> (usize, usize, usize) {
    let table = TABLE.as_bytes();
    let (mut rows, mut extensions, mut special) = (0, 0, 0);
    let (mut tabs, mut at) = (0, 0);
    while at < table.len() {
        match table[at] {
            b'\n' => {
                rows += 1;
                tabs = 0;
            }
            b'\t' => {
                tabs += 1;
                if tabs == 1 && table[at + 1] != b'-' {
                    special += 1;
                }
            }
            b' ' | b'-' => {}
            // The first byte of an extension has a space or a tab before it.
            _ if tabs == 2 && matches!(table[at - 1], b' ' | b'\t') => extensions += 1,
            _ => {}
        }
        at += 1;
    }
    (rows, extensions, special)
}

#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "it runs only at compile time, where a fault is a build error"
)]
const fn index() -> Index {
    let table = TABLE.as_bytes();
    assert!(
        table.len() < u16::MAX as usize && COUNTS.0 < GZIP as usize,
        "numbers of the index are 16 bits long"
    );
    let mut rows = [0; COUNTS.0];
    let mut special = [0; COUNTS.2];
    let mut keys = [0; COUNTS.1];
    let mut rows_of_keys = [0; COUNTS.1];
    let (mut row, mut count, mut specials, mut at) = (0, 0, 0, 0);
    while at < table.len() {
        rows[row] = at as u16;
        let mut tabs = 0;
        while tabs < 2 {
            if table[at] == b'\t' {
                tabs += 1;
                if tabs == 1 && table[at + 1] != b'-' {
                    special[specials] = rows[row];
                    specials += 1;
                }
            }
            at += 1;
        }
        // Each extension, to the end of the line.
        while table[at] != b'\n' {
            let (mut key, mut length, mut flags) = (0_u128, 0, 0);
            while !matches!(table[at], b' ' | b'\n') {
                if table[at] == b'=' {
                    flags = GZIP;
                } else if flags == 0 && length < KEY {
                    key = (key << 8) | table[at] as u128;
                    length += 1;
                }
                at += 1;
            }
            if !(length == 1 && key == b'-' as u128) {
                key <<= 8 * (KEY - length);
                keys[count] = key;
                rows_of_keys[count] = row as u16 | flags;
                count += 1;
            }
            if table[at] == b' ' {
                at += 1;
            }
        }
        at += 1;
        row += 1;
    }
    assert!(
        row == COUNTS.0 && count == COUNTS.1,
        "the two passes differ"
    );
    let (keys, rows_of_keys) = sorted(keys, rows_of_keys);
    Index {
        rows,
        special,
        keys,
        rows_of_keys,
    }
}

/// Sorts the extensions and their rows together, with Shell sort: insertion sort exceeds the step
/// limit of the compiler.
#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "it runs only at compile time, where a fault is a build error"
)]
const fn sorted(
    mut keys: [u128; COUNTS.1],
    mut rows: [u16; COUNTS.1],
) -> ([u128; COUNTS.1], [u16; COUNTS.1]) {
    let mut gap = COUNTS.1;
    while gap > 1 {
        gap = if gap > 4 { gap * 5 / 11 } else { 1 };
        let mut at = gap;
        while at < COUNTS.1 {
            let mut place = at;
            while place >= gap && keys[place - gap] > keys[place] {
                (keys[place - gap], keys[place]) = (keys[place], keys[place - gap]);
                (rows[place - gap], rows[place]) = (rows[place], rows[place - gap]);
                place -= gap;
            }
            at += 1;
        }
    }
    let mut at = 1;
    while at < COUNTS.1 {
        assert!(keys[at - 1] != keys[at], "an extension is in two rows");
        at += 1;
    }
    (keys, rows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn media_type(name: &str) -> &'static str {
        FileType::of_name(name).map_or("", |found| found.media_type())
    }

    #[test]
    fn the_table_is_sorted_and_each_type_has_one_row() {
        let essence = |line: &str| {
            let end = line.find([';', '\t']).unwrap();
            line[..end].to_ascii_lowercase()
        };
        let lines: Vec<_> = TABLE.lines().collect();
        for pair in lines.windows(2) {
            assert!(
                essence(pair[0]) < essence(pair[1]),
                "{} {}",
                pair[0],
                pair[1]
            );
        }
        for line in lines {
            let columns: Vec<_> = line.split('\t').collect();
            let [value, property, extensions] = columns[..] else {
                panic!("{line:?} has not three columns");
            };
            let media = MediaType::parse(value).unwrap();
            assert!(http::HeaderValue::try_from(value).is_ok(), "{value}");
            assert!(
                matches!(property, "text" | "shrinks" | "archive" | "-"),
                "{line}"
            );
            let has_short_name = value.len() < TYPE_KEY && value == value.to_ascii_lowercase();
            assert!(
                property == "-" || has_short_name,
                "{line}: a key must be short and in lower case"
            );
            assert!(
                property == "-" || !is_text_by_name(&media),
                "{line}: the name shows it"
            );
            let has_charset = media.parameter("charset").is_some();
            let is_xml = media.suffix() == Some("xml") || XML.iter().any(|one| media.is(one));
            let wants_charset = media.main() == "text" && !is_xml;
            assert_eq!(has_charset, wants_charset, "{line}");
            for extension in extensions.split(' ').filter(|one| *one != "-") {
                let (name, coding) = match extension.split_once('=') {
                    Some((name, coding)) => (name, Some(coding)),
                    None => (extension, None),
                };
                assert_eq!(name, name.to_ascii_lowercase());
                let found = FileType::of_name(format!("x.{name}")).unwrap();
                assert_eq!(
                    (found.media_type(), found.coding()),
                    (value, coding),
                    "{line}"
                );
            }
        }
    }

    /// XML types without a name that shows it.
    const XML: [&str; 7] = [
        "text/xml",
        "text/x-component",
        "text/x-opml",
        "text/vnd.wap.si",
        "text/vnd.wap.sl",
        "text/vnd.wap.wml",
        "application/xml",
    ];

    #[test]
    fn every_extension_of_debian_has_a_type() {
        let list = include_str!("../tests/debian-mime-types.txt");
        let mut count = 0;
        for line in list.lines().filter(|line| !line.starts_with('#')) {
            let (extension, theirs) = line.split_once('\t').unwrap();
            let ours = media_type(&format!("x.{extension}"));
            let is_download = matches!(ours, "" | "application/octet-stream");
            assert!(
                !is_download || theirs == "application/octet-stream",
                "{line}: {ours:?}"
            );
            count += 1;
        }
        assert!(count > 1500, "{count}");
    }

    #[test]
    fn types_by_extension() {
        let table = [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b/APP.JS", "text/javascript; charset=utf-8"),
            ("a.wasm", "application/wasm"),
            ("site.webmanifest", "application/manifest+json"),
            ("app.js.map", "application/json"),
            ("app.ts", "text/plain; charset=utf-8"),
            ("archive.tar.gz", "application/gzip"),
            ("feed.xml", "text/xml"),
            ("feed.atom", "application/atom+xml"),
            ("logo.svg", "image/svg+xml"),
            ("logo.SVGZ", "image/svg+xml"),
            ("page.xhtml", "application/xhtml+xml"),
            ("sheet.xslt", "application/xslt+xml"),
            ("lib.a", "application/x-archive"),
            ("sub.ass", "text/x-ssa; charset=utf-8"),
            ("app.apk", "application/vnd.android.package-archive"),
            ("wifi.mobileconfig", "application/x-apple-aspen-config"),
            ("ticket.pkpass", "application/vnd.apple.pkpass"),
            ("ca.crt", "application/x-x509-ca-cert"),
            ("ca.cer", "application/pkix-cert"),
            ("ca.crl", "application/pkix-crl"),
            ("addon.xpi", "application/x-xpinstall"),
            ("manifest.plist", "text/xml"),
            ("app.jnlp", "application/x-java-jnlp-file"),
            ("map.topojson", "application/json"),
            ("book.ipynb", "application/x-ipynb+json"),
            ("feeds.opml", "text/x-opml"),
            ("data.rdf", "application/rdf+xml"),
            ("data.ttl", "text/turtle; charset=utf-8"),
            ("list.m3u", "audio/mpegurl"),
            ("list.m3u8", "application/vnd.apple.mpegurl"),
            ("captions.ttml", "application/ttml+xml"),
            ("page.mhtml", "message/rfc822"),
            ("main.kt", "text/plain; charset=utf-8"),
            ("x.1905.1", "application/vnd.ieee.1905"),
            ("x.pcf.Z", "application/x-compress"),
            ("access.log.1", ""),
            ("a.b/c", ""),
            (".gitignore", ""),
            (".htaccess.txt", "text/plain; charset=utf-8"),
            ("a.", ""),
            ("a.averyveryverylongextension", ""),
            (
                "a.sarif-external-properties",
                "application/sarif-external-properties+json",
            ),
            ("a.sarif-external-propertied", ""),
            ("a.sarif-external-p", ""),
            ("a.unknown", ""),
            ("", ""),
        ];
        for (name, expected) in table {
            assert_eq!(media_type(name), expected, "{name}");
        }
        let not_utf8 = FileType::of_name(b"\xff.css").unwrap();
        assert_eq!(not_utf8.media_type(), "text/css; charset=utf-8");
    }

    #[test]
    fn rfc8615_well_known_names() {
        assert!(WELL_KNOWN.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(ANYWHERE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let table = [
            (".well-known/openid-configuration", JSON),
            ("tenant/.well-known/openid-configuration", JSON),
            (".well-known/oauth-authorization-server/tenant", JSON),
            (".well-known/matrix/client", JSON),
            (".well-known/host-meta", "application/xrd+xml"),
            (".well-known/host-meta.json", JSON),
            (".well-known/webfinger", "application/jrd+json"),
            (".well-known/assetlinks.json", JSON),
            (".well-known/security.txt", TEXT),
            (".well-known/apple-app-site-association", JSON),
            ("apple-app-site-association", JSON),
            (".well-known/acme-challenge/token", ""),
            ("openid-configuration", ""),
            ("well-known/openid-configuration", ""),
        ];
        for (name, expected) in table {
            assert_eq!(media_type(name), expected, "{name}");
        }
    }

    #[test]
    fn types_that_are_text_or_compressible() {
        let table = [
            ("text/html; charset=utf-8", true, true),
            ("TEXT/HTML", true, true),
            ("text/event-stream", true, true),
            ("application/json", true, true),
            ("Application/JavaScript", true, true),
            ("application/x-javascript; charset=utf-8", true, true),
            ("application/problem+json", true, true),
            ("application/ATOM+XML", true, true),
            ("application/vnd.oai.openapi+yaml", true, true),
            ("application/vnd.apple.mpegurl", true, true),
            ("audio/mpegurl", true, true),
            ("application/postscript", true, true),
            ("image/svg+xml", true, true),
            ("message/rfc822", true, true),
            ("application/wasm", false, true),
            ("image/x-icon", false, true),
            ("image/vnd.microsoft.icon", false, true),
            ("font/ttf", false, true),
            ("font/woff2", false, false),
            ("image/png", false, false),
            ("video/mp4", false, false),
            ("application/zip", false, false),
            ("application/x-tar", false, false),
            ("application/gzip", false, false),
            ("application/pdf", false, false),
            ("application/octet-stream", false, false),
            ("application/epub+zip", false, false),
            ("application/no-such-type", false, false),
            ("zzz/zzz", false, false),
            ("application/wasm2", false, false),
            ("application/was", false, false),
            (
                "application/a-type-with-a-name-that-is-longer-than-any-in-the-table",
                false,
                false,
            ),
            ("a/a", false, false),
        ];
        for (value, is_text, shrinks) in table {
            let media = MediaType::parse(value).unwrap();
            assert_eq!(
                (media.is_text(), media.shrinks()),
                (is_text, shrinks),
                "{value}"
            );
        }
    }

    #[test]
    fn a_file_is_compressible_as_its_type_unless_it_is_stored_encoded() {
        for line in TABLE.lines() {
            for extension in line.rsplit('\t').next().unwrap().split(' ') {
                let extension = extension.split('=').next().unwrap();
                let Some(found) = FileType::of_name(format!("x.{extension}")) else {
                    continue;
                };
                let by_type = MediaType::parse(found.media_type()).unwrap().shrinks();
                assert_eq!(
                    found.shrinks(),
                    by_type && found.coding().is_none(),
                    "{line}"
                );
            }
        }
        for name in ["a.tar", "a.iso", "a.zip", "a.gz", "a.svgz"] {
            assert!(
                !FileType::of_name(name).unwrap().may_be_stored_encoded(),
                "{name}"
            );
        }
        for name in ["a.js", "a.wasm", "a.data", "a.json", "a.pbf"] {
            assert!(
                FileType::of_name(name).unwrap().may_be_stored_encoded(),
                "{name}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_name(name: Vec<u8>) {
            let _ = FileType::of_name(&name);
        }

        #[test]
        fn any_type(main in "[a-z]{1,5}", subtype in "[a-z.+-]{1,9}") {
            if let Some(media) = MediaType::parse(&format!("{main}/{subtype}")) {
                prop_assert!(media.shrinks() || !media.is_text());
            }
        }
    }
}
