//! Request methods: which are registered.
//!
//! Source: the "Hypertext Transfer Protocol (HTTP) Method Registry" of IANA (RFC 9110, section 16.1.1).

use http::Method;

/// Returns whether the method is registered with IANA. Methods are case-sensitive (RFC 9110, section 9.1).
///
/// A resource that lacks a registered method answers 405 with `Allow`; a method that the server does not know is a 501
/// (RFC 9110, sections 9.1 and 15.6.2).
///
/// ```
/// use http::Method;
/// use vestibule_fields::method::is_registered;
///
/// assert!(is_registered(&Method::DELETE));
/// assert!(is_registered(&Method::from_bytes(b"PROPFIND").unwrap()));
/// assert!(!is_registered(&Method::from_bytes(b"get").unwrap()));
/// ```
#[must_use]
pub fn is_registered(method: &Method) -> bool {
    REGISTERED.binary_search(&method.as_str()).is_ok()
}

/// In order of their bytes. `QUERY` is RFC 10008; `*` is reserved and no method.
static REGISTERED: [&str; 40] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_searched() {
        assert!(REGISTERED.is_sorted());
        for name in REGISTERED {
            assert!(is_registered(&Method::from_bytes(name.as_bytes()).unwrap()));
        }
        for name in ["get", "Get", "FOO", "*", "PROPFINDS", "GE", "_OTHER"] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            assert!(!is_registered(&method), "{name}");
        }
    }
}
