//! The roles of well-known services, for the order check.

use std::any::type_name;

use vestibule_core::{Outline, Role};

/// Adds the role of a service that is recognized by its type, such as tower-http's `Cors`.
///
/// Without a dependency on tower-http, this crate sees only the name of the type. An unknown
/// service has no role and is not checked; `in_role` gives it one.
pub(crate) fn add_known_role<S>(outline: &mut Outline) {
    if let Some(role) = known(type_name::<S>()) {
        outline.role(role);
    }
}

/// Returns the role of the outermost type of `full`, such as `tower_http::cors::Cors<..>`.
fn known(full: &str) -> Option<Role> {
    let outermost = full.split('<').next().unwrap_or_default();
    let (package, path) = outermost.split_once("::")?;
    let name = path.rsplit("::").next().unwrap_or_default();
    let row = KNOWN.iter().find(|row| (row.0, row.1) == (package, name));
    row.map(|row| row.2)
}

/// Packages, types and their roles.
///
/// `Trace` is not included: it opens a span, so an access log beside it is not a second log.
/// `ValidateRequestHeader` is not included either, since it may check `Accept` as well as a
/// password.
const KNOWN: &[(&str, &str, Role)] = &[
    ("tower", "Timeout", Role::TIMEOUT),
    ("tower_http", "AsyncRequireAuthorization", Role::AUTH),
    ("tower_http", "CatchPanic", Role::CATCH_PANIC),
    ("tower_http", "Compression", Role::COMPRESSION),
    ("tower_http", "Cors", Role::CORS),
    ("tower_http", "Csrf", Role::CSRF),
    ("tower_http", "RequestBodyLimit", Role::BODY_LIMIT),
    ("tower_http", "RequestDecompression", Role::DECOMPRESSION),
    ("tower_http", "SetRequestId", Role::REQUEST_ID),
    ("tower_http", "Timeout", Role::TIMEOUT),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_type_sets_the_role() {
        let cases = [
            ("tower_http::cors::Cors<x::App>", Some(Role::CORS)),
            ("tower_http::cors::service::Cors<x::App>", Some(Role::CORS)),
            ("tower::timeout::Timeout<x::App>", Some(Role::TIMEOUT)),
            (
                "tower_http::trace::Trace<tower_http::cors::Cors<x::App>>",
                None,
            ),
            ("mine::Cors<x::App>", None),
            ("tower_http::cors::CorsLayer", None),
            ("Cors", None),
            ("", None),
        ];
        for (full, role) in cases {
            assert_eq!(known(full), role, "{full}");
        }
    }
}
