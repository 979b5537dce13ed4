//! Private keys of elliptic curves in their old form, `-----BEGIN EC PRIVATE KEY-----`.
//!
//! Source: RFC 5915, section 3 (`ECPrivateKey`).

use vestibule_pem::Der;

/// The members of an `ECPrivateKey`.
#[derive(Debug, PartialEq)]
pub(super) struct EcPrivateKey<'a> {
    /// The number, in big-endian order; its length may differ from that of the curve.
    pub(super) private: &'a [u8],
    /// The object identifier of the curve. A key inside of PKCS#8 does not have it.
    pub(super) curve: Option<&'a [u8]>,
    /// The point, which is optional.
    pub(super) public: Option<&'a [u8]>,
}

/// Reads an `ECPrivateKey`; `None` when it is not one, or its curve has no name.
pub(super) fn ec_private_key(der: &[u8]) -> Option<EcPrivateKey<'_>> {
    let mut outer = Der::new(der);
    let mut key = outer.inside(0x30)?;
    let version = key.value(0x02)?;
    let private = key.value(0x04)?;
    if !outer.is_empty() || version != [1] {
        return None;
    }
    let curve = match key.inside(0xa0) {
        Some(mut parameters) => Some(parameters.value(0x06)?),
        None => None,
    };
    let public = match key.inside(0xa1) {
        Some(mut bits) => Some(bits.value(0x03)?.strip_prefix(&[0])?),
        None => None,
    };
    key.is_empty().then_some(EcPrivateKey {
        private,
        curve,
        public,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_optional_and_what_is_not() {
        let (version, private) = ([2, 1, 1], [4, 2, 8, 9]);
        let (curve, public) = ([0xa0, 3, 6, 1, 42], [0xa1, 4, 3, 2, 0, 7]);
        let sequence = |parts: &[&[u8]]| {
            let inside = parts.concat();
            let length = u8::try_from(inside.len()).unwrap();
            [&[0x30, length][..], &inside].concat()
        };
        type Found = Option<(Option<&'static [u8]>, Option<&'static [u8]>)>;
        let cases: [(&[&[u8]], Found); 11] = [
            (&[&version, &private], Some((None, None))),
            (&[&version, &private, &curve], Some((Some(&[42]), None))),
            (&[&version, &private, &public], Some((None, Some(&[7])))),
            (
                &[&version, &private, &curve, &public],
                Some((Some(&[42]), Some(&[7]))),
            ),
            (&[&version, &private, &public, &curve], None),
            (&[&version, &private, &public, &[5, 0]], None),
            (&[&[2, 1, 0], &private], None),
            (&[&version], None),
            (&[&private], None),
            // A curve by its equation, and bits that are not whole bytes.
            (&[&version, &private, &[0xa0, 2, 0x30, 0]], None),
            (&[&version, &private, &[0xa1, 4, 3, 2, 1, 7]], None),
        ];
        for (parts, want) in cases {
            let der = sequence(parts);
            let found = ec_private_key(&der);
            assert!(found.as_ref().is_none_or(|key| key.private == [8, 9]));
            assert_eq!(found.map(|key| (key.curve, key.public)), want, "{parts:?}");
            assert_eq!(ec_private_key(&[&der[..], &[0]].concat()), None);
            for end in 0..der.len() {
                assert_eq!(ec_private_key(&der[..end]), None, "{parts:?} {end}");
            }
        }
    }
}
