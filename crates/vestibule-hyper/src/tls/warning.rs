//! Warnings about certificates that the server can use and visitors will refuse.

use std::fmt;
use std::path::Path;

use vestibule_fields::date::HttpDate;

use super::x509::{Certificate, name_text};

/// A fault that does not keep a server from starting: a certificate that visitors refuse, or will refuse soon.
///
/// Its text names the file and the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsWarning(String);

impl fmt::Display for TlsWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TlsWarning {
    pub(super) fn file(path: &Path, why: impl fmt::Display) -> Self {
        Self(format!("`{}`: {why}", path.display()))
    }

    pub(super) fn line(path: &Path, line: usize, why: impl fmt::Display) -> Self {
        Self(format!("`{}`, line {line}: {why}", path.display()))
    }
}

/// Returns the faults of a chain for visitors of `site`, each with the index of its certificate. `now` is in seconds
/// since 1970.
pub(super) fn of_chain(
    chain: &[Certificate<'_>],
    site: Option<&str>,
    now: i64,
) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    for (at, certificate) in chain.iter().enumerate() {
        let date = of_dates(certificate.not_before, certificate.not_after, now);
        all.extend(date.map(|why| (at, format!("the certificate {why}"))));
        if certificate.has_weak_signature() && !certificate.is_self_signed() {
            let why = "the certificate is signed with SHA-1 or MD5, which visitors refuse";
            all.push((at, why.to_owned()));
        }
    }
    let Some(leaf) = chain.first() else {
        return all;
    };
    if !leaf.has_hosts() {
        let why = "the certificate names no host (subjectAltName), so that visitors refuse it for every name";
        all.push((0, why.to_owned()));
    } else if let Some(site) = site
        && !leaf.is_for(site)
    {
        all.push((
            0,
            format!("the certificate is not for `{site}`, so that visitors of that name refuse it"),
        ));
    }
    if chain.len() == 1 && !leaf.is_self_signed() {
        let issuer = name_text(leaf.issuer).unwrap_or_default();
        all.push((
            0,
            format!(
                "the certificate of its issuer `{issuer}` does not follow: visitors refuse the chain unless they have it; \
                 the authority offers it as the intermediate certificate"
            ),
        ));
    }
    all
}

/// Returns the fault of a revocation list whose successor is due at `next_update`.
pub(super) fn of_revocation_list(next_update: Option<i64>, now: i64) -> Option<String> {
    let next_update = next_update.filter(|due| *due < now)?;
    Some(format!(
        "the revocation list is out of date since {}: all client certificates of its authority are refused",
        date(next_update)
    ))
}

/// An expired certificate, one whose time has not begun, and one that ends soon: within a sixth of its time, and within
/// 14 days.
fn of_dates(not_before: i64, not_after: i64, now: i64) -> Option<String> {
    if now < not_before {
        return Some(format!("is not valid before {}", date(not_before)));
    }
    if now > not_after {
        return Some(format!(
            "has expired {} ago, {}",
            days(now - not_after),
            date(not_after)
        ));
    }
    let left = not_after - now;
    let soon = (14 * DAY).min((not_after - not_before) / 6);
    (left < soon).then(|| format!("expires in {}, {}", days(left), date(not_after)))
}

fn days(seconds: i64) -> String {
    match seconds / DAY {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

fn date(seconds: i64) -> String {
    String::from_utf8_lossy(&HttpDate::from_unix(seconds).to_bytes()).into_owned()
}

/// In seconds.
const DAY: i64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_that_visitors_refuse() {
        let cases = [
            // from, until, now, in days
            (0, 90, 10, None),
            (0, 90, 75, None),
            (0, 90, 77, Some("expires in 13 days, ")),
            (0, 90, 89, Some("expires in 1 day, ")),
            (0, 90, 90, Some("expires in less than a day, ")),
            (0, 90, 91, Some("has expired 1 day ago, ")),
            (0, 90, 95, Some("has expired 5 days ago, ")),
            (
                10,
                90,
                9,
                Some("is not valid before Sun, 11 Jan 1970 00:00:00 GMT"),
            ),
            // A certificate of six days is renewed after three.
            (0, 6, 3, None),
            (0, 6, 4, None),
            (0, 12, 11, Some("expires in 1 day, ")),
        ];
        for (from, until, now, want) in cases {
            let got = of_dates(from * DAY, until * DAY, now * DAY);
            let fits = match (&got, want) {
                (Some(got), Some(want)) => got.contains(want),
                (got, want) => got.is_none() && want.is_none(),
            };
            assert!(fits, "{from} to {until} at {now}: {got:?}");
        }
    }
}
