//! A token in its three parts: read strictly, before anything in it is believed.
//!
//! Source: RFC 7515 section 3.1, 4.1, 5.2 and 7.1 (compact form only); RFC 8725 (best current practices).

use std::borrow::Cow;
use std::collections::HashSet;
use std::error::Error;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::key::Algorithm;

/// The parts of a token, decoded into one buffer. Nothing of it has been believed.
pub(super) struct Token<'a> {
    /// What the signature is of: header and payload as they came.
    pub(super) signed: &'a str,
    bytes: Vec<u8>,
    header_end: usize,
    payload_end: usize,
}

/// What of the header counts. Keys that a token brings along (`jwk`, `jku`, `x5c`, `x5u`) do not.
pub(super) struct Header<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<Cow<'a, str>>,
    pub(super) kind: Option<Cow<'a, str>>,
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, JwtError> {
        if text.len() > MAX_TOKEN {
            return Err(JwtError::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(JwtError::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(JwtError::Form)?;
        if payload.contains('.') {
            return Err(JwtError::Form);
        }
        if signature.is_empty() {
            return Err(JwtError::NotSigned);
        }
        let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
        let mut read = |part: &str| {
            decode(part.as_bytes(), &mut bytes).ok_or(JwtError::Form)?;
            Ok(bytes.len())
        };
        let (header_end, payload_end) = (read(header)?, read(payload)?);
        read(signature)?;
        Ok(Self {
            signed,
            bytes,
            header_end,
            payload_end,
        })
    }

    pub(super) fn header(&self) -> Result<Header<'_>, JwtError> {
        let header = &self.bytes[..self.header_end];
        let header = serde_json::from_slice::<RawHeader<'_>>(header);
        header.map_err(|_| JwtError::Header)?.check()
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.bytes[self.header_end..self.payload_end]
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.bytes[self.payload_end..]
    }

    pub(super) fn into_payload(mut self) -> Vec<u8> {
        self.bytes.truncate(self.payload_end);
        self.bytes.drain(..self.header_end);
        self.bytes
    }
}

/// Why a token is refused. It holds nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JwtError {
    /// It is longer than 16 KiB.
    TooLong,
    /// It is not three parts of unpadded base64url.
    Form,
    /// Its header is no JSON object, has a member twice, or one of the wrong type.
    Header,
    /// Its algorithm is `none`, or none that is known.
    Algorithm,
    /// Its header has `crit`: it demands something of its reader that this one does not know.
    Critical,
    /// Its type is another than that of an access token.
    Kind,
    /// It has no signature.
    NotSigned,
    /// No key is meant for it.
    NoKey,
    /// Its signature is wrong.
    Signature,
    /// Its claims are no JSON object, have a member twice, or one of the wrong type.
    Claims,
    /// It has no `exp`.
    NoExpiry,
    /// It has expired.
    Expired,
    /// Its time has not come: `nbf` or `iat`.
    NotYet,
    /// It is of another issuer.
    Issuer,
    /// It is for another audience.
    Audience,
    /// It has no claim that names the subject: no `sub`, or none of those that were set.
    Subject,
    /// It lacks a claim that is required, or the claim has another value.
    Claim,
    /// The keys could not be fetched, so nothing is known of the token.
    Unavailable,
}

impl fmt::Display for JwtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "it is too long",
            Self::Form => "it is not three parts of unpadded base64url",
            Self::Header => "its header cannot be read",
            Self::Algorithm => "its algorithm is not known",
            Self::Critical => "its header demands what is not known",
            Self::Kind => "it is of another type",
            Self::NotSigned => "it is not signed",
            Self::NoKey => "no key is meant for it",
            Self::Signature => "its signature is wrong",
            Self::Claims => "its claims cannot be read",
            Self::NoExpiry => "it does not say when it expires",
            Self::Expired => "it has expired",
            Self::NotYet => "its time has not come",
            Self::Issuer => "it is of another issuer",
            Self::Audience => "it is for another audience",
            Self::Subject => "it has no subject",
            Self::Claim => "it lacks a required claim",
            Self::Unavailable => "the keys could not be fetched",
        })
    }
}

impl Error for JwtError {}

/// The members of a header that are looked at.
#[derive(Default)]
struct RawHeader<'a> {
    alg: Option<Text<'a>>,
    kid: Option<Text<'a>>,
    typ: Option<Text<'a>>,
    crit: Option<NoDuplicates>,
}

impl<'a> RawHeader<'a> {
    fn check(self) -> Result<Header<'a>, JwtError> {
        if self.crit.is_some() {
            return Err(JwtError::Critical);
        }
        let algorithm = self.alg.ok_or(JwtError::Header)?.0;
        Ok(Header {
            algorithm: Algorithm::parse(&algorithm).ok_or(JwtError::Algorithm)?,
            key_id: self.kid.map(|it| it.0),
            kind: self.typ.map(|it| it.0),
        })
    }
}

/// The claims that are checked, and those that make an identity.
#[derive(Default)]
pub(super) struct Registered<'a> {
    /// Whole seconds, as the others: serde reads no float, no string and nothing negative as one.
    pub(super) exp: Option<u64>,
    pub(super) nbf: Option<u64>,
    pub(super) iat: Option<u64>,
    pub(super) iss: Option<Text<'a>>,
    pub(super) aud: Option<Audience<'a>>,
    pub(super) sub: Option<Words<'a>>,
    pub(super) scope: Option<Words<'a>>,
    pub(super) groups: Option<Words<'a>>,
}

/// A claim that is loosely defined (RFC 7519, section 4.3): a string, an array of strings, or a shape
/// that is not known, which has no texts and does not make the token a bad one.
#[derive(Default)]
pub(super) struct Words<'a> {
    pub(super) texts: Vec<Text<'a>>,
    pub(super) is_list: bool,
}

impl<'a> Words<'a> {
    fn one(text: Cow<'a, str>) -> Self {
        Self {
            texts: vec![Text(text)],
            is_list: false,
        }
    }
}

/// `aud`: a string, or several.
pub(super) enum Audience<'a> {
    One(Text<'a>),
    Several(Vec<Text<'a>>),
}

impl<'a> Audience<'a> {
    pub(super) fn as_slice(&self) -> &[Text<'a>] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Several(all) => all,
        }
    }
}

/// A JSON object of which no member stands twice, at any depth. A reader that takes the first and
/// one that takes the last would believe different tokens.
macro_rules! strict_object {
    ($type:ident { $($field:ident),* }) => {
        impl<'de> Deserialize<'de> for $type<'de> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Members;

                impl<'de> Visitor<'de> for Members {
                    type Value = $type<'de>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$type<'de>, A::Error> {
                        let mut all = $type::default();
                        let mut names = Names::default();
                        while let Some(Text(name)) = map.next_key()? {
                            match &*name {
                                $(stringify!($field) => all.$field = Some(map.next_value()?),)*
                                _ => {
                                    map.next_value::<NoDuplicates>()?;
                                }
                            }
                            if !names.insert(name) {
                                return Err(de::Error::custom("a member stands twice"));
                            }
                        }
                        Ok(all)
                    }
                }

                deserializer.deserialize_map(Members)
            }
        }
    };
}

strict_object!(RawHeader {
    alg,
    kid,
    typ,
    crit
});
strict_object!(Registered {
    exp,
    nbf,
    iat,
    iss,
    sub,
    aud,
    scope,
    groups
});

impl<'de> Deserialize<'de> for Audience<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Audience<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Audience<'de>, E> {
                Ok(Audience::One(Text(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Audience<'de>, E> {
                Ok(Audience::One(Text(Cow::Owned(text.to_owned()))))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Audience<'de>, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = all.next_element()? {
                    texts.push(text);
                }
                Ok(Audience::Several(texts))
            }
        }

        deserializer.deserialize_any(OneOrMore)
    }
}

impl<'de> Deserialize<'de> for Words<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyShape;

        impl<'de> Visitor<'de> for AnyShape {
            type Value = Words<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Words<'de>, E> {
                Ok(Words::one(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Words<'de>, E> {
                Ok(Words::one(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Words<'de>, A::Error> {
                let mut texts = Vec::new();
                // Of an element that is not a string nothing is taken; an array in it has no texts here.
                while let Some(Element(text)) = all.next_element()? {
                    texts.extend(text);
                }
                Ok(Words {
                    texts,
                    is_list: true,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Words<'de>, A::Error> {
                NoDuplicates.visit_map(map).map(|_| Words::default())
            }

            fn visit_bool<E>(self, _: bool) -> Result<Words<'de>, E> {
                Ok(Words::default())
            }

            fn visit_i64<E>(self, _: i64) -> Result<Words<'de>, E> {
                Ok(Words::default())
            }

            fn visit_u64<E>(self, _: u64) -> Result<Words<'de>, E> {
                Ok(Words::default())
            }

            fn visit_f64<E>(self, _: f64) -> Result<Words<'de>, E> {
                Ok(Words::default())
            }

            fn visit_unit<E>(self) -> Result<Words<'de>, E> {
                Ok(Words::default())
            }
        }

        deserializer.deserialize_any(AnyShape)
    }
}

/// An element of an array: its text, when it is a string.
struct Element<'a>(Option<Text<'a>>);

impl<'de> Deserialize<'de> for Element<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneElement;

        impl<'de> Visitor<'de> for OneElement {
            type Value = Element<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Element<'de>, E> {
                Ok(Element(Some(Text(Cow::Borrowed(text)))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Element<'de>, E> {
                Ok(Element(Some(Text(Cow::Owned(text.to_owned())))))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, all: A) -> Result<Element<'de>, A::Error> {
                NoDuplicates.visit_seq(all).map(|_| Element(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Element<'de>, A::Error> {
                NoDuplicates.visit_map(map).map(|_| Element(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Element<'de>, E> {
                Ok(Element(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Element<'de>, E> {
                Ok(Element(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Element<'de>, E> {
                Ok(Element(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Element<'de>, E> {
                Ok(Element(None))
            }

            fn visit_unit<E>(self) -> Result<Element<'de>, E> {
                Ok(Element(None))
            }
        }

        deserializer.deserialize_any(OneElement)
    }
}

/// Any value of which no object has a member twice.
struct NoDuplicates;

impl<'de> Deserialize<'de> for NoDuplicates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for NoDuplicates {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self, A::Error> {
        while all.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut names = Names::default();
        while let Some(Text(name)) = map.next_key()? {
            if !names.insert(name) {
                return Err(de::Error::custom("a member stands twice"));
            }
            map.next_value::<Self>()?;
        }
        Ok(self)
    }
}

/// A string, borrowed from the token where it has no escapes.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Any)
    }
}

/// The names of an object so far. Few are compared one by one, which is quicker than to hash them;
/// more are hashed, so that many cost no quadratic time.
#[derive(Default)]
struct Names<'a> {
    few: [&'a str; FEW],
    count: usize,
    more: Option<HashSet<Cow<'a, str>>>,
}

impl<'a> Names<'a> {
    fn insert(&mut self, name: Cow<'a, str>) -> bool {
        let is_there = self.few[..self.count].contains(&&*name)
            || self.more.as_ref().is_some_and(|more| more.contains(&name));
        match name {
            _ if is_there => return false,
            Cow::Borrowed(name) if self.count < FEW => {
                self.few[self.count] = name;
                self.count += 1;
            }
            name => {
                self.more.get_or_insert_default().insert(name);
            }
        }
        true
    }
}

/// Appends what unpadded base64url stands for; its unused bits are zero: one text for each value.
///
/// What it reads comes from the client, who knows it: unlike base64ct it may look up a table.
fn decode(text: &[u8], to: &mut Vec<u8>) -> Option<()> {
    let digit = |byte: u8| u32::from(DIGITS[usize::from(byte)]);
    let fours = text.chunks_exact(4);
    let rest = fours.remainder();
    let start = to.len();
    to.resize(start + fours.len() * 3, 0);
    for (four, three) in fours.zip(to[start..].chunks_exact_mut(3)) {
        let digits = [
            digit(four[0]),
            digit(four[1]),
            digit(four[2]),
            digit(four[3]),
        ];
        if digits[0] | digits[1] | digits[2] | digits[3] > 63 {
            return None;
        }
        let word = digits[0] << 18 | digits[1] << 12 | digits[2] << 6 | digits[3];
        three.copy_from_slice(&word.to_be_bytes()[1..]);
    }
    let mut word = 0;
    for byte in rest {
        match digit(*byte) {
            digit @ ..=63 => word = word << 6 | digit,
            _ => return None,
        }
    }
    match (rest.len(), word) {
        (0, _) => {}
        (2, _) if word & 0x0f == 0 => to.push((word >> 4) as u8),
        (3, _) if word & 0x03 == 0 => to.extend_from_slice(&((word >> 2) as u16).to_be_bytes()),
        _ => return None,
    }
    Some(())
}

/// The value of each digit; 255 for what is none.
const DIGITS: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut digits = [255; 256];
    let mut at = 0;
    while at < alphabet.len() {
        digits[alphabet[at] as usize] = at as u8;
        at += 1;
    }
    digits
};
const FEW: usize = 12;
/// Bytes.
pub(super) const MAX_TOKEN: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use base64ct::{Base64UrlUnpadded, Encoding};

    use super::*;

    fn decoded(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let mut bytes = b"before".to_vec();
        decode(text.as_ref(), &mut bytes)?;
        Some(bytes.split_off(6))
    }

    #[test]
    fn rfc4648_10_and_what_is_no_base64url() {
        let good = [
            ("", ""),
            ("Zg", "f"),
            ("Zm8", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg", "foob"),
        ];
        for (text, bytes) in good {
            assert_eq!(decoded(text).as_deref(), Some(bytes.as_bytes()));
        }
        for text in [
            "Z", "Zh", "Zm9", "Zg==", "Zm9v=", "Z g", "Zm+v", "Zm/v", "Zm9vY", "Zm9\n",
        ] {
            assert_eq!(decoded(text), None, "{text}");
        }
    }

    #[test]
    fn more_names_than_a_few() {
        let mut names = Names::default();
        let all: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        // Borrowed as names without escapes are, and owned as those with some.
        let name = |n: usize| match n % 3 {
            0 => Cow::Owned(all[n].clone()),
            _ => Cow::Borrowed(&*all[n]),
        };
        for n in 0..100 {
            assert!(names.insert(name(n)));
        }
        for again in &all {
            assert!(!names.insert(Cow::Borrowed(again)));
            assert!(!names.insert(Cow::Owned(again.clone())));
        }
    }

    proptest::proptest! {
        #[test]
        fn base64_as_base64ct_reads_it(bytes: Vec<u8>, text in "[A-Za-z0-9_=+ -]{0,20}") {
            let encoded = Base64UrlUnpadded::encode_string(&bytes);
            assert_eq!(decoded(&encoded), Some(bytes));
            assert_eq!(decoded(&text), Base64UrlUnpadded::decode_vec(&text).ok());
        }
    }
}
