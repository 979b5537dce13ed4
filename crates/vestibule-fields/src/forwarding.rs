//! Request fields that proxies set: the one list of their names.
//!
//! A proxy tells the server behind it about the client in request fields. A client can send the
//! same fields. So a program that reads or forwards them must first remove those of the client. All
//! crates of the workspace use this list for that.
//!
//! CGI writes a `-` of a name as `_`, so `X_Forwarded_For` and `X-Forwarded-For` are one variable.
//! Every function here takes both spellings as the same name. See RFC 3875, section 4.1.18.
//!
//! ```
//! use http::HeaderMap;
//! use vestibule_fields::forwarding;
//!
//! let mut headers = HeaderMap::new();
//! for name in ["x-forwarded-for", "x_forwarded_for", "forwarded", "x-original-url", "accept"] {
//!     headers.insert(name, "a".parse().unwrap());
//! }
//! forwarding::clear(&mut headers);
//! assert_eq!(headers.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["accept"]);
//! ```

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST};
use http::{HeaderMap, HeaderName};

use crate::list::{Lines, Quotes, trim};

/// Returns whether a proxy uses this field to report how a request reached it: the client's
/// address, the scheme, the host, the target, the client's certificate.
///
/// ```
/// use http::HeaderName;
/// use vestibule_fields::forwarding::is_forwarding;
///
/// assert!(is_forwarding(&HeaderName::from_static("x-forwarded-proto")));
/// assert!(is_forwarding(&HeaderName::from_static("x_real_ip")));
/// assert!(!is_forwarding(&HeaderName::from_static("x-forwarded-user"))); // see `is_user`
/// assert!(!is_forwarding(&HeaderName::from_static("host")));
/// ```
#[must_use]
pub fn is_forwarding(name: &HeaderName) -> bool {
    let is_prefixed = PREFIXES.iter().any(|prefix| begins(name.as_str(), prefix));
    (is_prefixed || is_in(FORWARDING, name.as_str())) && !is_user(name)
}

/// Returns whether an authenticating proxy uses this field to name the user.
///
/// ```
/// use http::HeaderName;
/// use vestibule_fields::forwarding::is_user;
///
/// assert!(is_user(&HeaderName::from_static("remote-user")));
/// assert!(is_user(&HeaderName::from_static("x-forwarded-user")));
/// assert!(!is_user(&HeaderName::from_static("user-agent")));
/// ```
#[must_use]
pub fn is_user(name: &HeaderName) -> bool {
    is_in(USER, name.as_str())
        || USER_PREFIXES
            .iter()
            .any(|prefix| begins(name.as_str(), prefix))
}

/// Removes all fields for which [`is_forwarding`] holds, in both spellings.
pub fn clear(headers: &mut HeaderMap) {
    remove_where(headers, is_forwarding);
}

/// Removes all fields for which [`is_user`] holds, in both spellings.
///
/// ```
/// use http::HeaderMap;
/// use vestibule_fields::forwarding;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("Remote_User", "root".parse().unwrap());
/// forwarding::clear_user(&mut headers);
/// assert!(headers.is_empty());
/// ```
pub fn clear_user(headers: &mut HeaderMap) {
    remove_where(headers, is_user);
}

/// Removes the fields of both lists whose names contain `_`. A proxy that replaces
/// `X-Forwarded-For` passes the client's `X_Forwarded_For` on, and CGI cannot distinguish the two.
///
/// ```
/// use http::HeaderMap;
/// use vestibule_fields::forwarding;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("remote-user", "alice".parse().unwrap());
/// headers.insert("remote_user", "root".parse().unwrap());
/// forwarding::clear_look_alikes(&mut headers);
/// assert_eq!((headers.len(), &headers["remote-user"]), (1, &"alice".parse().unwrap()));
/// ```
pub fn clear_look_alikes(headers: &mut HeaderMap) {
    remove_where(headers, |name| {
        name.as_str().contains('_') && (is_forwarding(name) || is_user(name))
    });
}

/// Removes the field `name`, in both spellings.
///
/// ```
/// use http::{HeaderMap, HeaderName};
/// use vestibule_fields::forwarding;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("X_Team", "red".parse().unwrap());
/// forwarding::remove(&mut headers, &HeaderName::from_static("x-team"));
/// assert!(headers.is_empty());
/// ```
pub fn remove(headers: &mut HeaderMap, name: &HeaderName) {
    remove_where(headers, |other| is_same(name.as_str(), other.as_str()));
}

/// Removes all fields for which `is_meant` returns true.
pub fn remove_where(headers: &mut HeaderMap, is_meant: impl Fn(&HeaderName) -> bool) {
    let meant: Vec<HeaderName> = headers.keys().filter(|it| is_meant(it)).cloned().collect();
    for name in meant {
        headers.remove(name);
    }
}

/// Returns the names in `Connection` that a receiver may remove (RFC 9110, section 7.6.1).
///
/// The client writes `Connection`. So it must not be able to remove the fields in which a proxy
/// reports on the client or names the user. The same holds for `Host` and the fields that frame the
/// body.
///
/// ```
/// use http::HeaderMap;
/// use vestibule_fields::forwarding::named_by_connection;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("connection", "close, X-Forwarded-For, Host, X-Hop".parse().unwrap());
/// assert_eq!(named_by_connection(&headers), ["close", "x-hop"]);
/// ```
#[must_use]
pub fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let kept = [AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST];
    Lines::from_headers(headers, CONNECTION)
        .elements(Quotes::Escaped)
        .filter_map(|name| HeaderName::from_bytes(trim(name)).ok())
        .filter(|name| !kept.contains(name) && !is_forwarding(name) && !is_user(name))
        .collect()
}

fn is_in(list: &[&str], name: &str) -> bool {
    list.iter().any(|own| is_same(own, name))
}

/// Returns whether both names become one CGI variable. Names in a header map are in lower case.
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && begins(one, other)
}

/// Returns whether `name` begins with `prefix`, in either spelling.
fn begins(name: &str, prefix: &str) -> bool {
    let dashed = |byte: u8| match byte {
        b'_' => b'-',
        other => other,
    };
    name.len() >= prefix.len()
        && name
            .bytes()
            .zip(prefix.bytes())
            .all(|(one, other)| dashed(one) == dashed(other))
}

/// Prefixes of names that only proxies use.
const PREFIXES: &[&str] = &["client-cert-", "ssl-client-", "x-forwarded-", "x-ssl-"];

/// Fields that report how a request reached a proxy, in addition to [`PREFIXES`].
const FORWARDING: &[&str] = &[
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "client-cert",
    "fastly-client-ip",
    "forwarded",
    "front-end-https",
    "true-client-ip",
    "x-amzn-mtls-clientcert",
    "x-arr-clientcert",
    "x-client-cert",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forwarded",
    "x-host",
    "x-http-host-override",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-method",
    "x-original-proto",
    "x-original-uri",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "x-scheme",
    "x-script-name",
    "x-url-scheme",
];

/// Prefixes for the names of [`USER`].
const USER_PREFIXES: &[&str] = &["x-auth-request-"];

/// Fields in which an authenticating proxy names the user.
const USER: &[&str] = &[
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "x-authenticated-user",
    "x-forwarded-access-token",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-user",
    "x-remote-group",
    "x-remote-user",
    "x-webauth-user",
];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn fields_of_proxies_in_every_spelling() {
        let forwarding = [
            "Forwarded",
            "X-Forwarded",
            "X-Forwarded-For",
            "X_Forwarded_For",
            "X-Forwarded_For",
            "X-FORWARDED-HOST",
            "X-Forwarded-Proto",
            "X-Forwarded-Port",
            "X-Forwarded-Prefix",
            "X-Forwarded-Server",
            "X-Forwarded-Method",
            "X-Forwarded-Uri",
            "X-Forwarded-Ssl",
            "X-Forwarded-Client-Cert",
            "X-Forwarded-Tls-Client-Cert",
            "X-Real-IP",
            "X_REAL_IP",
            "X-Original-URL",
            "X-Rewrite-URL",
            "X-Client-Cert",
            "Client-Cert",
            "Client-Cert-Chain",
            "Ssl-Client-Verify",
            "X-SSL-Client-S-DN",
        ];
        let user = [
            "Remote-User",
            "Remote_User",
            "X-Forwarded-User",
            "X_Forwarded_Email",
            "X-Auth-Request-Email",
        ];
        let neither = [
            "Host",
            "Via",
            "Cookie",
            "X-Forward",
            "X-Real-IPs",
            "X-Request-Id",
            "Remote",
        ];
        let name = |text: &str| HeaderName::from_bytes(text.as_bytes()).unwrap();
        for text in forwarding {
            assert!(
                is_forwarding(&name(text)) && !is_user(&name(text)),
                "{text}"
            );
        }
        for text in user {
            assert!(
                is_user(&name(text)) && !is_forwarding(&name(text)),
                "{text}"
            );
        }
        for text in neither {
            assert!(
                !is_forwarding(&name(text)) && !is_user(&name(text)),
                "{text}"
            );
        }
    }

    #[test]
    fn repeated_lines_are_all_removed() {
        let mut headers = HeaderMap::new();
        for line in ["1.1.1.1", "2.2.2.2"] {
            headers.append("x-forwarded-for", HeaderValue::from_static(line));
            headers.append("x_forwarded_for", HeaderValue::from_static(line));
        }
        headers.append("remote-user", HeaderValue::from_static("a"));
        clear(&mut headers);
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn connection_removes_only_fields_of_the_connection() {
        let cases: [(&[&str], &[&str]); 6] = [
            (&[], &[]),
            (&["keep-alive"], &["keep-alive"]),
            (&["X_Forwarded_For, x-a", "forwarded,x-b"], &["x-a", "x-b"]),
            (&["Remote-User, Cookie, authorization, HOST"], &[]),
            (&["content-length, content-type, te"], &["te"]),
            (&["a b, \"x\", ,"], &[]),
        ];
        for (lines, names) in cases {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONNECTION, HeaderValue::from_static(line));
            }
            assert_eq!(named_by_connection(&headers), names, "{lines:?}");
        }
    }
}
