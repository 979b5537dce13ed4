//! The content codings and their levels.

use std::fmt;
use std::ops::RangeInclusive;

/// A content coding of responses and request bodies.
///
/// There is a variant for each coding whose feature is on.
///
/// ```
/// use vestibule_compression::Coding;
///
/// assert_eq!(Coding::Gzip.token(), "gzip");
/// assert_eq!(Coding::from_token("X-GZip"), Some(Coding::Gzip));
/// assert_eq!(Coding::from_token("compress"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Coding {
    /// `zstd`, RFC 8878, with a window of at most 8 MB (RFC 9659).
    #[cfg(feature = "zstd")]
    Zstd,
    /// `br`, RFC 7932.
    #[cfg(feature = "brotli")]
    Brotli,
    /// `gzip`, RFC 1952.
    #[cfg(feature = "gzip")]
    Gzip,
    /// `deflate`: the zlib format of RFC 1950, as RFC 9110, section 8.4.1.2, defines it.
    #[cfg(feature = "gzip")]
    Deflate,
}

impl Coding {
    /// All codings whose features are on, the preferred one first.
    ///
    /// ```
    /// use vestibule_compression::Coding;
    ///
    /// assert_eq!(Coding::ALL.last(), Some(&Coding::Deflate));
    /// ```
    pub const ALL: &[Self] = &[
        #[cfg(feature = "zstd")]
        Self::Zstd,
        #[cfg(feature = "brotli")]
        Self::Brotli,
        #[cfg(feature = "gzip")]
        Self::Gzip,
        #[cfg(feature = "gzip")]
        Self::Deflate,
    ];

    /// Returns the name in `Accept-Encoding` and `Content-Encoding`.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            #[cfg(feature = "zstd")]
            Self::Zstd => "zstd",
            #[cfg(feature = "brotli")]
            Self::Brotli => "br",
            #[cfg(feature = "gzip")]
            Self::Gzip => "gzip",
            #[cfg(feature = "gzip")]
            Self::Deflate => "deflate",
        }
    }

    /// Returns the coding with the name `token`, in any ASCII case; `x-gzip` is `gzip`.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Self> {
        let token = match token.eq_ignore_ascii_case("x-gzip") {
            true => "gzip",
            false => token,
        };
        let is_it = |coding: &&Self| coding.token().eq_ignore_ascii_case(token);
        Self::ALL.iter().find(is_it).copied()
    }

    /// Returns the levels of the coding, from the fastest to the smallest output. zstd ends at 19: higher
    /// levels have windows of more than 8 MB, which browsers refuse.
    ///
    /// ```
    /// use vestibule_compression::Coding;
    ///
    /// assert_eq!(Coding::Gzip.levels(), 1..=9);
    /// ```
    #[must_use]
    pub const fn levels(self) -> RangeInclusive<u8> {
        match self {
            #[cfg(feature = "zstd")]
            Self::Zstd => 1..=19,
            #[cfg(feature = "brotli")]
            Self::Brotli => 0..=11,
            #[cfg(feature = "gzip")]
            Self::Gzip | Self::Deflate => 1..=9,
        }
    }

    /// Returns the default level, for dynamic responses.
    pub(crate) const fn default_level(self) -> u8 {
        match self {
            #[cfg(feature = "zstd")]
            Self::Zstd => 3,
            #[cfg(feature = "brotli")]
            Self::Brotli => 4,
            #[cfg(feature = "gzip")]
            Self::Gzip | Self::Deflate => 6,
        }
    }

    /// Returns the first level at which a slice of [`SLICE`](crate::SLICE) bytes takes more than about 2 ms.
    pub(crate) const fn costly_level(self) -> u8 {
        match self {
            #[cfg(feature = "zstd")]
            Self::Zstd => 11,
            #[cfg(feature = "brotli")]
            Self::Brotli => 6,
            #[cfg(feature = "gzip")]
            Self::Gzip | Self::Deflate => 10,
        }
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_name() {
        for &coding in Coding::ALL {
            let name = coding.token();
            assert_eq!(Coding::from_token(name), Some(coding));
            assert_eq!(Coding::from_token(&name.to_uppercase()), Some(coding));
            assert!(coding.levels().contains(&coding.default_level()));
        }
        for name in ["", "x-br", "identity", "*", "gzip ", "compress", "dcb"] {
            assert_eq!(Coding::from_token(name), None, "{name}");
        }
    }
}
