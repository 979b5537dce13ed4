//! Variables that the deployer adds to every environ.

/// Checks the name of a variable that is to be added to every environ; returns its fault with the fix.
///
/// The server sets some variables for each request. A value of the deployer's would have no effect, so it
/// is refused.
pub(crate) fn fault(name: &str) -> Option<String> {
    let is_name = |byte: u8| byte.is_ascii_graphic() && byte != b'=';
    if name.is_empty() || !name.bytes().all(is_name) {
        return Some(format!(
            "the variable {name:?} is not a name of printable ASCII: change it"
        ));
    }
    let fix = match name {
        "SCRIPT_NAME" | "PATH_INFO" => "mount the app at a path (`--mount /app`)",
        "HTTPS" | "REQUEST_SCHEME" | "wsgi.url_scheme" | "REMOTE_ADDR" | "REMOTE_PORT" => {
            "trust the proxy that says so (`--trust-proxy`)"
        }
        "REQUEST_METHOD" | "QUERY_STRING" | "REQUEST_URI" | "RAW_URI" | "SERVER_PROTOCOL"
        | "GATEWAY_INTERFACE" | "SERVER_SOFTWARE" | "SERVER_NAME" | "SERVER_ADDR"
        | "SERVER_PORT" | "REMOTE_USER" | "AUTH_TYPE" | "CONTENT_TYPE" | "CONTENT_LENGTH" => {
            "leave it out, or choose another name"
        }
        _ if name.starts_with("HTTP_") => {
            "a header of the client's has this name: choose another name"
        }
        _ if ["wsgi.", "vestibule.", "SSL_"]
            .iter()
            .any(|it| name.starts_with(it)) =>
        {
            "choose another name"
        }
        _ => return None,
    };
    Some(format!("the server sets the variable {name} itself: {fix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_server_sets_are_refused_with_their_fix() {
        for name in [
            "DEPLOYED_AS",
            "city",
            "x.y",
            "HTTPX",
            "wsgix",
            "FLASK_ENV",
            "SERVER_NAME2",
        ] {
            assert_eq!(fault(name), None, "{name}");
        }
        for (name, fix) in [
            ("", "printable ASCII"),
            ("a b", "printable ASCII"),
            ("Ł", "printable ASCII"),
            ("SCRIPT_NAME", "--mount"),
            ("PATH_INFO", "--mount"),
            ("HTTPS", "--trust-proxy"),
            ("wsgi.url_scheme", "--trust-proxy"),
            ("REMOTE_ADDR", "--trust-proxy"),
            ("REMOTE_USER", "another name"),
            ("SERVER_PORT", "another name"),
            ("CONTENT_LENGTH", "another name"),
            ("HTTP_HOST", "header"),
            ("wsgi.input", "another name"),
            ("wsgi.multiprocess", "another name"),
            ("vestibule.queue_time", "another name"),
        ] {
            let fault = fault(name).unwrap();
            assert!(fault.contains(fix), "{name}: {fault}");
        }
    }
}
