//! Media types by file name, from the table that compression also uses.

use vestibule_fields::file_type::FileType;
use vestibule_fields::media_type::MediaType;

/// Returns the media type of a file from its name, or `application/octet-stream` when it is
/// unknown. Only the last segment of `name` counts.
///
/// Text types have `charset=utf-8`. XML types have no charset, since an XML file declares its own.
/// The case of the extension does not matter; of several extensions, the last one counts.
/// [`FileType`] gives more facts about a name.
///
/// [`StaticFiles`](crate::StaticFiles) also reads the start of files whose name has no extension: a
/// `LICENSE` that is text is sent as `text/plain; charset=utf-8`.
///
/// ```
/// use vestibule_static::media_type;
///
/// assert_eq!(media_type("js/app.mjs"), "text/javascript; charset=utf-8");
/// assert_eq!(media_type("PHOTO.AVIF"), "image/avif");
/// assert_eq!(media_type("feed.rss"), "application/rss+xml");
/// assert_eq!(media_type("LICENSE"), "application/octet-stream");
/// ```
#[must_use]
pub fn media_type(name: impl AsRef<[u8]>) -> &'static str {
    FileType::of_name(name).map_or(UNKNOWN, |found| found.media_type())
}

/// Returns whether bytes of this type are worth compressing: text, and plain data such as
/// WebAssembly.
///
/// The compression middleware, sidecars and `Precompress` use the same table
/// ([`MediaType::shrinks`]).
///
/// ```
/// use vestibule_static::is_compressible;
///
/// assert!(is_compressible("text/css; charset=utf-8"));
/// assert!(is_compressible("application/javascript"));
/// assert!(is_compressible("image/svg+xml"));
/// assert!(!is_compressible("image/avif"));
/// ```
#[must_use]
pub fn is_compressible(media_type: &str) -> bool {
    MediaType::parse(media_type).is_some_and(|media| media.shrinks())
}

/// The type of a file whose type is unknown.
pub(crate) const UNKNOWN: &str = "application/octet-stream";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_type_is_a_download() {
        for name in ["LICENSE", "a.unknown", "a.", "a.b/c", ".gitignore", ""] {
            assert_eq!(media_type(name), UNKNOWN, "{name}");
        }
        assert_eq!(media_type("a.ts"), "text/plain; charset=utf-8");
    }

    #[test]
    fn invalid_types_are_not_compressible() {
        for value in ["", "text", "text/", "/html", "a b/c", "text/html, text/css"] {
            assert!(!is_compressible(value), "{value}");
        }
    }
}
