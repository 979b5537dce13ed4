//! Quality values: the `;q=` of `Accept`, `Accept-Encoding` and `Accept-Language`, and their
//! weighted lists.
//!
//! ```text
//! weight = OWS ";" OWS "q=" qvalue
//! qvalue = ( "0" [ "." 0*3("0") ] ) / ( "1" [ "." 0*3("0") ] )      ; "0" may be followed by any three digits
//! list   = #( name *( OWS ";" OWS parameter ) [ weight ] )
//! ```
//!
//! Source: RFC 9110 section 12.4.2 (the weight), 12.5.1 (parameters before it).
//!
//! The number is read strictly, the list leniently: an element without a name, or with an invalid
//! weight, is skipped, and the elements after it still count.
//!
//! ```
//! use vestibule_fields::quality::{Quality, Weights};
//!
//! let weights = Weights::parse("gzip;q=0.5, br, ;;;, deflate;q=high");
//! let found: Vec<_> = weights.iter().map(|weight| (weight.name(), weight.quality().thousandths())).collect();
//! assert_eq!(found, [("gzip", 500), ("br", 1000)]);
//! ```

use std::fmt;

use http::{HeaderMap, HeaderName};

use crate::list::{Elements, Lines, List, Quotes, is_tchar, trim};

/// A preference in thousandths: 0 is "not acceptable", 1000 is "most preferred".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quality {
    thousandths: u16,
}

impl Quality {
    /// `q=0`: not acceptable.
    ///
    /// ```
    /// use vestibule_fields::quality::Quality;
    ///
    /// assert!(!Quality::ZERO.is_acceptable());
    /// ```
    pub const ZERO: Self = Self { thousandths: 0 };

    /// `q=1`: most preferred, and the value of an element without a weight.
    ///
    /// ```
    /// use vestibule_fields::quality::Quality;
    ///
    /// assert_eq!(Quality::default(), Quality::ONE);
    /// ```
    pub const ONE: Self = Self { thousandths: 1000 };

    /// Creates a quality of `thousandths`, or returns `None` above 1000.
    ///
    /// ```
    /// use vestibule_fields::quality::Quality;
    ///
    /// assert_eq!(Quality::from_thousandths(250).unwrap().to_string(), "0.25");
    /// assert!(Quality::from_thousandths(1001).is_none());
    /// ```
    #[must_use]
    pub const fn from_thousandths(thousandths: u16) -> Option<Self> {
        if thousandths <= 1000 {
            Some(Self { thousandths })
        } else {
            None
        }
    }

    /// Reads the text after `q=`, strictly: at most three decimals, at most 1.
    ///
    /// ```
    /// use vestibule_fields::quality::Quality;
    ///
    /// assert_eq!(Quality::parse("1.000"), Some(Quality::ONE));
    /// assert_eq!(Quality::parse("0.5").map(Quality::thousandths), Some(500));
    /// assert_eq!(Quality::parse("0.1234"), None);
    /// assert_eq!(Quality::parse("2"), None);
    /// ```
    #[must_use]
    pub fn parse(value: &(impl AsRef<[u8]> + ?Sized)) -> Option<Self> {
        let (one, decimals) = match value.as_ref() {
            [b'0'] => return Some(Self::ZERO),
            [b'1'] => return Some(Self::ONE),
            [b'0', b'.', decimals @ ..] => (0, decimals),
            [b'1', b'.', decimals @ ..] => (1000, decimals),
            _ => return None,
        };
        let [a, b, c] = match *decimals {
            [] => [b'0', b'0', b'0'],
            [a] => [a, b'0', b'0'],
            [a, b] => [a, b, b'0'],
            [a, b, c] => [a, b, c],
            _ => return None,
        };
        let thousandths = [a, b, c].into_iter().try_fold(0_u16, |number, byte| {
            let digit = char::from(byte).to_digit(10)?;
            number
                .checked_mul(10)?
                .checked_add(u16::try_from(digit).ok()?)
        })?;
        Self::from_thousandths(thousandths.checked_add(one)?)
    }

    /// Returns the quality in thousandths, 0 to 1000.
    ///
    /// ```
    /// use vestibule_fields::quality::Quality;
    ///
    /// assert_eq!(Quality::parse("0.25").unwrap().thousandths(), 250);
    /// ```
    #[must_use]
    pub const fn thousandths(self) -> u16 {
        self.thousandths
    }

    /// Returns whether the quality is more than zero.
    ///
    /// ```
    /// use vestibule_fields::quality::Quality;
    ///
    /// assert!(Quality::ONE.is_acceptable());
    /// assert!(!Quality::ZERO.is_acceptable());
    /// ```
    #[must_use]
    pub const fn is_acceptable(self) -> bool {
        self.thousandths > 0
    }
}

/// Returns [`Quality::ONE`], the quality of an element without a weight.
impl Default for Quality {
    fn default() -> Self {
        Self::ONE
    }
}

/// Writes the shortest form: `1`, `0.5`, `0.125`.
impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.thousandths {
            0 => f.write_str("0"),
            1000 => f.write_str("1"),
            n if n % 100 == 0 => write!(f, "0.{}", n / 100),
            n if n % 10 == 0 => write!(f, "0.{:02}", n / 10),
            n => write!(f, "0.{n:03}"),
        }
    }
}

/// One element of a weighted list: a name, optional parameters, a quality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight<'a> {
    name: &'a str,
    parameters: &'a [u8],
    quality: Quality,
}

impl<'a> Weight<'a> {
    /// Reads one element.
    ///
    /// The name is a token, or tokens with `/` between them as in `text/*`. The first parameter
    /// called `q` is the weight; the parameters after it are ignored (RFC 9110, section 12.5.1
    /// removed them).
    ///
    /// ```
    /// use vestibule_fields::quality::Weight;
    ///
    /// let weight = Weight::parse("text/html;level=1;q=0.4").unwrap();
    /// assert_eq!(weight.name(), "text/html");
    /// assert_eq!(weight.parameters().collect::<Vec<_>>(), [b"level=1"]);
    /// assert_eq!(weight.quality().to_string(), "0.4");
    /// ```
    #[must_use]
    pub fn parse(value: &'a (impl AsRef<[u8]> + ?Sized)) -> Option<Self> {
        let value = value.as_ref();
        let end = value
            .iter()
            .position(|&byte| byte == b';')
            .unwrap_or(value.len());
        let (name, parameters) = value.split_at_checked(end)?;
        let name = trim(name);
        if name.is_empty() || !name.iter().all(|&byte| is_tchar(byte) || byte == b'/') {
            return None;
        }
        let quality = match List::new(parameters).separator(b';').find_map(weight) {
            Some(value) => Quality::parse(value)?,
            None => Quality::ONE,
        };
        Some(Self {
            name: std::str::from_utf8(name).ok()?,
            parameters,
            quality,
        })
    }

    /// Returns the name as written. Names compare in any ASCII case.
    ///
    /// ```
    /// use vestibule_fields::quality::Weight;
    ///
    /// assert_eq!(Weight::parse("GZip;q=0").unwrap().name(), "GZip");
    /// ```
    #[must_use]
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// Returns whether the name is `name`, in any ASCII case.
    ///
    /// ```
    /// use vestibule_fields::quality::Weight;
    ///
    /// assert!(Weight::parse("GZip;Q=0.5").unwrap().is("gzip"));
    /// ```
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Iterates over the parameters before the weight, each as written.
    ///
    /// ```
    /// use vestibule_fields::quality::Weight;
    ///
    /// let weight = Weight::parse("a/b;c=d;q=1;e").unwrap();
    /// assert_eq!(weight.parameters().collect::<Vec<_>>(), [b"c=d"]);
    /// ```
    pub fn parameters(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        List::new(self.parameters)
            .separator(b';')
            .take_while(|parameter| weight(parameter).is_none())
    }

    /// Returns the weight, [`Quality::ONE`] when there is none.
    ///
    /// ```
    /// use vestibule_fields::quality::{Quality, Weight};
    ///
    /// assert_eq!(Weight::parse("br").unwrap().quality(), Quality::ONE);
    /// ```
    #[must_use]
    pub const fn quality(&self) -> Quality {
        self.quality
    }
}

/// The weighted elements of a field. All its lines are one list.
#[derive(Clone, Debug)]
pub struct Weights<'a> {
    lines: Lines<'a>,
}

impl<'a> Weights<'a> {
    /// Reads one value. Never fails: invalid elements are skipped.
    ///
    /// ```
    /// use vestibule_fields::quality::Weights;
    ///
    /// assert_eq!(Weights::parse(";;;,,,q=").iter().count(), 0);
    /// ```
    #[must_use]
    pub fn parse(value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self {
            lines: Lines::new(value),
        }
    }

    /// Reads every line called `name`. `None` when the field is absent, which differs from an empty
    /// list.
    ///
    /// ```
    /// use http::{HeaderMap, header::ACCEPT_LANGUAGE};
    /// use vestibule_fields::quality::Weights;
    ///
    /// let mut headers = HeaderMap::new();
    /// assert!(Weights::from_headers(&headers, ACCEPT_LANGUAGE).is_none());
    /// headers.insert(ACCEPT_LANGUAGE, "da, en-gb;q=0.8".parse().unwrap());
    /// assert_eq!(Weights::from_headers(&headers, ACCEPT_LANGUAGE).unwrap().iter().count(), 2);
    /// ```
    #[must_use]
    pub fn from_headers(headers: &'a HeaderMap, name: HeaderName) -> Option<Self> {
        let lines = Lines::from_headers(headers, name);
        (!lines.is_absent()).then_some(Self { lines })
    }

    /// Iterates over the elements in order.
    ///
    /// ```
    /// use vestibule_fields::quality::Weights;
    ///
    /// assert_eq!(Weights::parse("br, gzip;q=0.5").iter().count(), 2);
    /// ```
    #[must_use]
    pub fn iter(&self) -> WeightsIter<'a> {
        WeightsIter(self.lines.elements(Quotes::Escaped))
    }
}

impl<'a> IntoIterator for &Weights<'a> {
    type Item = Weight<'a>;
    type IntoIter = WeightsIter<'a>;

    fn into_iter(self) -> WeightsIter<'a> {
        self.iter()
    }
}

/// The iterator of [`Weights::iter`].
#[derive(Debug)]
pub struct WeightsIter<'a>(Elements<'a>);

impl<'a> Iterator for WeightsIter<'a> {
    type Item = Weight<'a>;

    fn next(&mut self) -> Option<Weight<'a>> {
        self.0.find_map(Weight::parse)
    }
}

/// Returns the text after `q=`, or `None` when `parameter` has another name. A `q` without a value
/// has an empty value.
fn weight(parameter: &[u8]) -> Option<&[u8]> {
    match parameter {
        [b'q' | b'Q'] => Some(b""),
        [b'q' | b'Q', b'=', value @ ..] => Some(value),
        // The grammar forbids whitespace around the `=`. Such an element still has a weight, and an
        // invalid one.
        [b'q' | b'Q', b' ' | b'\t', ..] => Some(b""),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc9110_12_4_2_qvalue() {
        let table = [
            ("0", Some(0)),
            ("0.", Some(0)),
            ("0.0", Some(0)),
            ("0.000", Some(0)),
            ("0.001", Some(1)),
            ("0.01", Some(10)),
            ("0.1", Some(100)),
            ("0.999", Some(999)),
            ("1", Some(1000)),
            ("1.", Some(1000)),
            ("1.0", Some(1000)),
            ("1.000", Some(1000)),
            ("1.001", None),
            ("1.1", None),
            ("2", None),
            ("0.0000", None),
            ("1.0000", None),
            ("00", None),
            ("01", None),
            ("10", None),
            (".5", None),
            ("0,5", None),
            ("0.5.", None),
            ("0.-1", None),
            ("0.+1", None),
            ("0.1e", None),
            ("-0", None),
            ("+1", None),
            ("-1", None),
            ("1e0", None),
            ("\"1\"", None),
            (" 1", None),
            ("1 ", None),
            ("nan", None),
            ("inf", None),
            ("", None),
        ];
        for (value, thousandths) in table {
            assert_eq!(
                Quality::parse(value).map(Quality::thousandths),
                thousandths,
                "{value:?}"
            );
        }
    }

    #[test]
    fn every_quality_is_parsed_from_its_text() {
        for thousandths in 0..=1000 {
            let quality = Quality::from_thousandths(thousandths).unwrap();
            assert_eq!(Quality::parse(&quality.to_string()), Some(quality));
        }
    }

    #[test]
    fn rfc9110_12_5_weighted_lists() {
        let table: &[(&str, &[(&str, u16)])] = &[
            // 12.5.1
            (
                "audio/*; q=0.2, audio/basic",
                &[("audio/*", 200), ("audio/basic", 1000)],
            ),
            (
                "text/plain; q=0.5, text/html,\ttext/x-dvi; q=0.8, text/x-c",
                &[
                    ("text/plain", 500),
                    ("text/html", 1000),
                    ("text/x-dvi", 800),
                    ("text/x-c", 1000),
                ],
            ),
            (
                "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, */*;q=0.5",
                &[
                    ("text/*", 300),
                    ("text/plain", 700),
                    ("text/plain", 1000),
                    ("*/*", 500),
                ],
            ),
            // 12.5.3
            ("compress, gzip", &[("compress", 1000), ("gzip", 1000)]),
            ("", &[]),
            ("*", &[("*", 1000)]),
            (
                "gzip;q=1.0, identity; q=0.5, *;q=0",
                &[("gzip", 1000), ("identity", 500), ("*", 0)],
            ),
            // 12.5.4
            (
                "da, en-gb;q=0.8, en;q=0.7",
                &[("da", 1000), ("en-gb", 800), ("en", 700)],
            ),
        ];
        check(table);
    }

    #[test]
    fn lists_skip_invalid_elements() {
        let table: &[(&str, &[(&str, u16)])] = &[
            ("GZIP;Q=0.5", &[("GZIP", 500)]),
            ("gzip ; q=0.5 ; x=y", &[("gzip", 500)]),
            ("gzip;;q=0.5;", &[("gzip", 500)]),
            ("gzip;", &[("gzip", 1000)]),
            ("gzip;qq=0.5", &[("gzip", 1000)]),
            ("gzip;q=0.5;q=1", &[("gzip", 500)]),
            ("gzip;q=1;q=bad", &[("gzip", 1000)]),
            ("gzip;q=, br", &[("br", 1000)]),
            ("gzip;q, br", &[("br", 1000)]),
            ("gzip;q =0.5, br", &[("br", 1000)]),
            ("gzip;q= 0.5, br", &[("br", 1000)]),
            ("gzip;q=0.5x, br", &[("br", 1000)]),
            ("gzip;q=\"0.5\", br", &[("br", 1000)]),
            ("a b, br", &[("br", 1000)]),
            ("a=b, br", &[("br", 1000)]),
            ("q=0.5", &[]),
            (";q=0.5", &[]),
            (";;;,,,q=", &[]),
            (r#"a/b;p=",;q=0";q=0.5, c"#, &[("a/b", 500), ("c", 1000)]),
            (r#"a/b;p="\",;q=0";q=0.5, c"#, &[("a/b", 500), ("c", 1000)]),
        ];
        check(table);
    }

    fn check(table: &[(&str, &[(&str, u16)])]) {
        for (value, expected) in table {
            let found: Vec<_> = Weights::parse(value)
                .iter()
                .map(|weight| (weight.name(), weight.quality().thousandths()))
                .collect();
            assert_eq!(&found, expected, "{value:?}");
        }
    }

    #[test]
    fn parameters_end_at_the_weight() {
        let table: &[(&str, &[&str])] = &[
            ("a/b", &[]),
            ("a/b;q=1", &[]),
            ("a/b; c=d ;; e=\"f;g\" ;q=1;h=i", &["c=d", "e=\"f;g\""]),
            ("a/b;c", &["c"]),
        ];
        for (value, expected) in table {
            let found: Vec<_> = Weight::parse(value)
                .unwrap()
                .parameters()
                .map(|parameter| std::str::from_utf8(parameter).unwrap())
                .collect();
            assert_eq!(&found, expected, "{value:?}");
        }
    }

    #[test]
    fn repeated_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        assert!(Weights::from_headers(&headers, ACCEPT).is_none());
        headers.append(ACCEPT, "".parse().unwrap());
        assert_eq!(
            Weights::from_headers(&headers, ACCEPT)
                .unwrap()
                .iter()
                .count(),
            0
        );
        headers.append(ACCEPT, "a/b, c/d".parse().unwrap());
        headers.append(ACCEPT, "e/f;q=0".parse().unwrap());
        assert_eq!(
            Weights::from_headers(&headers, ACCEPT)
                .unwrap()
                .iter()
                .count(),
            3
        );
    }

    proptest! {
        #[test]
        fn any_bytes(value: Vec<u8>) {
            if let Some(quality) = Quality::parse(&value) {
                prop_assert!(quality <= Quality::ONE);
            }
            for weight in &Weights::parse(&value) {
                prop_assert!(!weight.name().is_empty());
                prop_assert!(weight.parameters().count() <= value.len());
            }
        }

        #[test]
        fn separators_only(value in "[;,q=\" \\\\0.]{0,256}") {
            for weight in &Weights::parse(&value) {
                prop_assert!(value.contains(weight.name()));
            }
        }

        #[test]
        fn written_lists_come_back(list in prop::collection::vec(("[a-z*/]{1,8}", 0_u16..=1000), 0..8)) {
            let elements: Vec<_> = list
                .iter()
                .map(|(name, n)| format!("{name};q={}", Quality::from_thousandths(*n).unwrap()))
                .collect();
            let value = elements.join(", ");
            let found: Vec<_> = Weights::parse(&value)
                .iter()
                .map(|weight| (weight.name().to_owned(), weight.quality().thousandths()))
                .collect();
            prop_assert_eq!(found, list);
        }
    }
}
