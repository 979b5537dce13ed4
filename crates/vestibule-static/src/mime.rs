//! Media types by file name: the web as it is in 2026.

/// The media type of a file called `name` (its last segment counts), `application/octet-stream` when it is unknown.
///
/// Text types say `charset=utf-8`. The case of the extension does not count; of several extensions the last one does.
///
/// ```
/// use vestibule_static::media_type;
///
/// assert_eq!(media_type("js/app.mjs"), "text/javascript; charset=utf-8");
/// assert_eq!(media_type("PHOTO.AVIF"), "image/avif");
/// assert_eq!(media_type("LICENSE"), "application/octet-stream");
/// ```
#[must_use]
pub fn media_type(name: impl AsRef<[u8]>) -> &'static str {
    let name = name.as_ref();
    let found = match extension(name) {
        Some(extension) => by_extension(extension),
        None => BY_NAME
            .iter()
            .find_map(|(other, kind)| (file_name(name) == other.as_bytes()).then_some(*kind)),
    };
    found.unwrap_or(UNKNOWN)
}

/// What follows the last dot of the last segment; a dot at its start begins no extension.
pub(crate) fn extension(name: &[u8]) -> Option<&[u8]> {
    let file = file_name(name);
    let dot = file.iter().rposition(|&byte| byte == b'.')?;
    (dot > 0 && dot + 1 < file.len()).then(|| &file[dot + 1..])
}

/// Whether bytes of this type are worth compressing: text, and what is text or plain data underneath.
///
/// ```
/// use vestibule_static::is_compressible;
///
/// assert!(is_compressible("text/css; charset=utf-8"));
/// assert!(is_compressible("image/svg+xml"));
/// assert!(!is_compressible("image/avif"));
/// ```
#[must_use]
pub fn is_compressible(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or("").trim();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || COMPRESSIBLE.contains(&essence)
}

fn file_name(name: &[u8]) -> &[u8] {
    match name.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => &name[slash + 1..],
        None => name,
    }
}

fn by_extension(extension: &[u8]) -> Option<&'static str> {
    let mut lower = [0; MAX_EXTENSION];
    let lower = lower.get_mut(..extension.len())?;
    lower.copy_from_slice(extension);
    lower.make_ascii_lowercase();
    let at = BY_EXTENSION
        .binary_search_by(|(other, _)| other.as_bytes().cmp(lower))
        .ok()?;
    Some(BY_EXTENSION[at].1)
}

const UNKNOWN: &str = "application/octet-stream";

/// The longest extension in the table.
const MAX_EXTENSION: usize = 11;

/// Types outside `text/*`, `*+json` and `*+xml` that shrink.
const COMPRESSIBLE: [&str; 17] = [
    "application/json",
    "application/manifest+json",
    "application/x-ndjson",
    "application/xml",
    "application/xml-dtd",
    "application/yaml",
    "application/toml",
    "application/sql",
    "application/wasm",
    "application/rtf",
    "application/vnd.ms-fontobject",
    "application/x-subrip",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/x-icon",
    "model/gltf-binary",
];

/// Files without an extension that have a type all the same.
const BY_NAME: [(&str, &str); 2] = [
    ("apple-app-site-association", "application/json"),
    (
        "apple-developer-merchantid-domain-association",
        "text/plain; charset=utf-8",
    ),
];

/// Sorted by extension. IANA's registry where it has the type, else what browsers expect. RFC 9239 for JavaScript,
/// RFC 9512 for YAML. `.ts` is TypeScript as text, not video: an MPEG transport stream says so with an override.
#[rustfmt::skip]
const BY_EXTENSION: &[(&str, &str)] = &[
    ("3gp", "video/3gpp"),
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("apng", "image/apng"),
    ("appcache", "text/cache-manifest; charset=utf-8"),
    ("asc", "text/plain; charset=utf-8"),
    ("atom", "application/atom+xml; charset=utf-8"),
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("bash", "text/plain; charset=utf-8"),
    ("bib", "text/plain; charset=utf-8"),
    ("bin", "application/octet-stream"),
    ("bmp", "image/bmp"),
    ("br", "application/octet-stream"),
    ("bz2", "application/x-bzip2"),
    ("c", "text/plain; charset=utf-8"),
    ("cbor", "application/cbor"),
    ("cc", "text/plain; charset=utf-8"),
    ("cfg", "text/plain; charset=utf-8"),
    ("cjs", "text/javascript; charset=utf-8"),
    ("conf", "text/plain; charset=utf-8"),
    ("cpp", "text/plain; charset=utf-8"),
    ("cs", "text/plain; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("cts", "text/plain; charset=utf-8"),
    ("cur", "image/x-icon"),
    ("deb", "application/vnd.debian.binary-package"),
    ("diff", "text/plain; charset=utf-8"),
    ("dmg", "application/x-apple-diskimage"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("dtd", "application/xml-dtd"),
    ("eot", "application/vnd.ms-fontobject"),
    ("epub", "application/epub+zip"),
    ("exe", "application/vnd.microsoft.portable-executable"),
    ("flac", "audio/flac"),
    ("flv", "video/x-flv"),
    ("geojson", "application/geo+json"),
    ("gif", "image/gif"),
    ("glb", "model/gltf-binary"),
    ("gltf", "model/gltf+json"),
    ("go", "text/plain; charset=utf-8"),
    ("gpx", "application/gpx+xml"),
    ("graphql", "application/graphql"),
    ("gz", "application/gzip"),
    ("h", "text/plain; charset=utf-8"),
    ("har", "application/json"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("hpp", "text/plain; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("icns", "image/x-icns"),
    ("ico", "image/x-icon"),
    ("ics", "text/calendar; charset=utf-8"),
    ("ini", "text/plain; charset=utf-8"),
    ("iso", "application/x-iso9660-image"),
    ("jar", "application/java-archive"),
    ("java", "text/plain; charset=utf-8"),
    ("jfif", "image/jpeg"),
    ("jpe", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("json5", "text/plain; charset=utf-8"),
    ("jsonc", "text/plain; charset=utf-8"),
    ("jsonl", "application/x-ndjson"),
    ("jsonld", "application/ld+json"),
    ("jsx", "text/plain; charset=utf-8"),
    ("jxl", "image/jxl"),
    ("kml", "application/vnd.google-earth.kml+xml"),
    ("less", "text/plain; charset=utf-8"),
    ("lock", "text/plain; charset=utf-8"),
    ("log", "text/plain; charset=utf-8"),
    ("lua", "text/plain; charset=utf-8"),
    ("m2ts", "video/mp2t"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4s", "video/iso.segment"),
    ("m4v", "video/mp4"),
    ("map", "application/json"),
    ("markdown", "text/markdown; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("mid", "audio/midi"),
    ("midi", "audio/midi"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mka", "audio/matroska"),
    ("mkv", "video/matroska"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpd", "application/dash+xml"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("msi", "application/x-msi"),
    ("mts", "text/plain; charset=utf-8"),
    ("ndjson", "application/x-ndjson"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("parquet", "application/vnd.apache.parquet"),
    ("patch", "text/plain; charset=utf-8"),
    ("pdf", "application/pdf"),
    ("php", "text/plain; charset=utf-8"),
    ("pl", "text/plain; charset=utf-8"),
    ("pmtiles", "application/vnd.pmtiles"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("ps", "application/postscript"),
    ("py", "text/plain; charset=utf-8"),
    ("rar", "application/vnd.rar"),
    ("rb", "text/plain; charset=utf-8"),
    ("rs", "text/plain; charset=utf-8"),
    ("rss", "application/rss+xml; charset=utf-8"),
    ("rst", "text/plain; charset=utf-8"),
    ("rtf", "application/rtf"),
    ("sass", "text/plain; charset=utf-8"),
    ("scss", "text/plain; charset=utf-8"),
    ("sh", "text/plain; charset=utf-8"),
    ("shtml", "text/html; charset=utf-8"),
    ("sql", "application/sql"),
    ("srt", "application/x-subrip"),
    ("svg", "image/svg+xml; charset=utf-8"),
    ("swift", "text/plain; charset=utf-8"),
    ("tar", "application/x-tar"),
    ("tex", "text/plain; charset=utf-8"),
    ("text", "text/plain; charset=utf-8"),
    ("tgz", "application/gzip"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("toml", "application/toml"),
    ("ts", "text/plain; charset=utf-8"),
    ("tsv", "text/tab-separated-values; charset=utf-8"),
    ("tsx", "text/plain; charset=utf-8"),
    ("ttc", "font/collection"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("usdz", "model/vnd.usdz+zip"),
    ("vcard", "text/vcard; charset=utf-8"),
    ("vcf", "text/vcard; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("vue", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("wgsl", "text/wgsl; charset=utf-8"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml; charset=utf-8"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xml", "text/xml; charset=utf-8"),
    ("xsd", "text/xml; charset=utf-8"),
    ("xsl", "text/xml; charset=utf-8"),
    ("xslt", "application/xslt+xml; charset=utf-8"),
    ("xz", "application/x-xz"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_fits() {
        assert!(BY_EXTENSION.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (extension, kind) in BY_EXTENSION {
            assert!(extension.len() <= MAX_EXTENSION, "{extension}");
            assert!(http::HeaderValue::try_from(*kind).is_ok());
            assert_eq!(*extension, extension.to_ascii_lowercase());
            let is_text = kind.starts_with("text/");
            assert!(!is_text || kind.ends_with("; charset=utf-8"), "{kind}");
        }
    }

    #[test]
    fn types() {
        let cases = [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b/APP.JS", "text/javascript; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("a.wasm", "application/wasm"),
            ("a.avif", "image/avif"),
            ("site.webmanifest", "application/manifest+json"),
            ("app.js.map", "application/json"),
            ("app.ts", "text/plain; charset=utf-8"),
            ("archive.tar.gz", "application/gzip"),
            ("a.b/c", "application/octet-stream"),
            (".gitignore", "application/octet-stream"),
            (".htaccess.txt", "text/plain; charset=utf-8"),
            ("a.", "application/octet-stream"),
            ("a.averylongextension", "application/octet-stream"),
            (".well-known/apple-app-site-association", "application/json"),
            ("", "application/octet-stream"),
        ];
        for (name, kind) in cases {
            assert_eq!(media_type(name), kind, "{name}");
        }
        assert_eq!(media_type(b"\xff.css"), "text/css; charset=utf-8");
    }
}
