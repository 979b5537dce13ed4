//! A token in its three parts: read strictly, before anything in it is believed.
//!
//! Source: RFC 7515 section 3.1, 4.1, 5.2 and 7.1 (compact form only); RFC 8725 (best current practices).

use std::borrow::Cow;
use std::collections::HashSet;
use std::error::Error;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::key::Algorithm;

/// A token that can be read. Its signature has not been checked.
pub(super) struct Token<'a> {
    pub(super) header: Header,
    pub(super) signed: &'a str,
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// What of the header counts. Keys that a token brings along (`jwk`, `jku`, `x5c`, `x5u`) do not.
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) kind: Option<String>,
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
        let decode = |part: &str| decode(part.as_bytes()).ok_or(JwtError::Form);
        Ok(Self {
            header: serde_json::from_slice::<RawHeader>(&decode(header)?)
                .map_err(|_| JwtError::Header)?
                .check()?,
            signed,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
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
    /// It says nobody: it has no `sub`.
    Subject,
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
        })
    }
}

impl Error for JwtError {}

/// The members of a header that are looked at.
#[derive(Default)]
struct RawHeader {
    alg: Option<String>,
    kid: Option<String>,
    typ: Option<String>,
    has_crit: bool,
}

impl RawHeader {
    fn check(self) -> Result<Header, JwtError> {
        if self.has_crit {
            return Err(JwtError::Critical);
        }
        let algorithm = self.alg.ok_or(JwtError::Header)?;
        Ok(Header {
            algorithm: Algorithm::parse(&algorithm).ok_or(JwtError::Algorithm)?,
            key_id: self.kid,
            kind: self.typ,
        })
    }
}

/// The claims that are checked, and those that make an identity.
#[derive(Debug, Default)]
pub(super) struct Registered {
    pub(super) exp: Option<u64>,
    pub(super) nbf: Option<u64>,
    pub(super) iat: Option<u64>,
    pub(super) iss: Option<String>,
    pub(super) sub: Option<String>,
    pub(super) aud: Option<Audience>,
    pub(super) scope: Option<String>,
    pub(super) groups: Option<Vec<String>>,
}

/// `aud`: a string, or several.
#[derive(Debug)]
pub(super) struct Audience(pub(super) Vec<String>);

/// A JSON object of which no member stands twice, at any depth. A reader that takes the first and
/// one that takes the last would believe different tokens.
macro_rules! strict_object {
    ($type:ident { $($name:literal => $field:ident = $read:ident),* $(,)? } $(, present $flag_name:literal => $flag:ident)?) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Members;

                impl<'de> Visitor<'de> for Members {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$type, A::Error> {
                        let mut all = $type::default();
                        let mut names = Names::default();
                        while let Some(Name(name)) = map.next_key()? {
                            match &*name {
                                $($name => all.$field = Some($read(map.next_value()?)),)*
                                $($flag_name => {
                                    all.$flag = true;
                                    map.next_value::<NoDuplicates>()?;
                                })?
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

strict_object!(
    RawHeader { "alg" => alg = string, "kid" => kid = string, "typ" => typ = string },
    present "crit" => has_crit
);

strict_object!(Registered {
    "exp" => exp = seconds,
    "nbf" => nbf = seconds,
    "iat" => iat = seconds,
    "iss" => iss = string,
    "sub" => sub = string,
    "aud" => aud = audience,
    "scope" => scope = string,
    "groups" => groups = strings,
});

fn string(value: String) -> String {
    value
}

fn strings(value: Vec<String>) -> Vec<String> {
    value
}

fn audience(value: Audience) -> Audience {
    value
}

/// Whole seconds: serde reads no float, no string and nothing negative as one.
fn seconds(value: u64) -> u64 {
    value
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Audience;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Audience, E> {
                Ok(Audience(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Audience, A::Error> {
                let mut strings = Vec::new();
                while let Some(text) = all.next_element()? {
                    strings.push(text);
                }
                Ok(Audience(strings))
            }
        }

        deserializer.deserialize_any(OneOrMore)
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
        while let Some(Name(name)) = map.next_key()? {
            if !names.insert(name) {
                return Err(de::Error::custom("a member stands twice"));
            }
            map.next_value::<Self>()?;
        }
        Ok(self)
    }
}

/// The name of a member, borrowed from the text where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// The names of an object so far. Few are compared one by one, which is quicker than to hash them;
/// more are hashed, so that many cost no quadratic time.
#[derive(Default)]
struct Names<'a> {
    few: Vec<Cow<'a, str>>,
    more: Option<HashSet<Cow<'a, str>>>,
}

impl<'a> Names<'a> {
    fn insert(&mut self, name: Cow<'a, str>) -> bool {
        if self.few.contains(&name) {
            return false;
        }
        if self.few.len() < FEW {
            if self.few.is_empty() {
                self.few.reserve_exact(FEW);
            }
            self.few.push(name);
            return true;
        }
        self.more.get_or_insert_default().insert(name)
    }
}

/// Unpadded base64url whose unused bits are zero: one text for each value.
///
/// What it reads comes from the client, who knows it: unlike base64ct it may look up a table.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let mut fours = text.chunks_exact(4);
    for four in &mut fours {
        let digits = [four[0], four[1], four[2], four[3]].map(|it| DIGITS[usize::from(it)]);
        if digits.iter().fold(0, |all, digit| all | digit) > 63 {
            return None;
        }
        let word = digits
            .iter()
            .fold(0, |word, digit| word << 6 | u32::from(*digit));
        bytes.extend_from_slice(&word.to_be_bytes()[1..]);
    }
    let rest = fours.remainder();
    let mut word = 0;
    for byte in rest {
        match DIGITS[usize::from(*byte)] {
            digit @ ..=63 => word = word << 6 | u32::from(digit),
            _ => return None,
        }
    }
    match (rest.len(), word) {
        (0, _) => {}
        (2, _) if word & 0x0f == 0 => bytes.push((word >> 4) as u8),
        (3, _) if word & 0x03 == 0 => bytes.extend_from_slice(&((word >> 2) as u16).to_be_bytes()),
        _ => return None,
    }
    Some(bytes)
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
const MAX_TOKEN: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use base64ct::{Base64UrlUnpadded, Encoding};

    use super::*;

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
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes.as_bytes()));
        }
        for text in [
            "Z", "Zh", "Zm9", "Zg==", "Zm9v=", "Z g", "Zm+v", "Zm/v", "Zm9vY", "Zm9\n",
        ] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn more_names_than_a_few() {
        let mut names = Names::default();
        for n in 0..100 {
            assert!(names.insert(n.to_string().into()));
        }
        for n in 0..100 {
            assert!(!names.insert(n.to_string().into()));
        }
    }

    proptest::proptest! {
        #[test]
        fn base64_as_base64ct_reads_it(bytes: Vec<u8>, text in "[A-Za-z0-9_=+ -]{0,20}") {
            let encoded = Base64UrlUnpadded::encode_string(&bytes);
            assert_eq!(decode(encoded.as_bytes()), Some(bytes));
            assert_eq!(decode(text.as_bytes()), Base64UrlUnpadded::decode_vec(&text).ok());
        }
    }
}
