//! The roles of well-known services, for the check of the order of layers.

use std::any::type_name;

use vestibule_core::{Outline, Role};

/// Tells the role of a service that is known by its type, such as tower-http's `Cors`.
///
/// The name of a type is all that this crate can see without a dependency on tower-http. A service that
/// is not known has no role, and is not checked: `in_role` gives it one.
pub(crate) fn tell<S>(outline: &mut Outline) {
    if let Some(role) = known(type_name::<S>()) {
        outline.role(role);
    }
}

/// The role of the outermost type of `full`: `tower_http::cors::Cors<..>`.
fn known(full: &str) -> Option<Role> {
    let outermost = full.split('<').next().unwrap_or_default();
    let (package, path) = outermost.split_once("::")?;
    let name = path.rsplit("::").next().unwrap_or_default();
    let row = KNOWN.iter().find(|row| (row.0, row.1) == (package, name));
    row.map(|row| row.2)
}

/// Packages, types and their roles.
///
/// `Trace` is not one of them: it opens a span, and an access log beside it is not a second log. Nor is
/// `ValidateRequestHeader`, which may look at `Accept` as well as at a password.
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
    fn the_outermost_type_counts() {
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
