//! Defaults from the environment, as on hosting platforms and in other servers: `PORT` and
//! `WEB_CONCURRENCY`. The command line takes precedence.

/// An address to listen at. A port alone is one of this machine, as for Django's `runserver`.
pub(crate) fn place(text: &str) -> Result<String, String> {
    match text.parse::<u64>() {
        Ok(port) => address("127.0.0.1", text, port),
        Err(_) => Ok(text.to_owned()),
    }
}

/// The place that `PORT` means: all interfaces, since the balancer of a platform comes from outside.
pub(crate) fn place_of_port(port: &str) -> Result<String, String> {
    match port.parse::<u64>() {
        Ok(number) => address("", port, number),
        Err(_) => Err(format!("PORT is `{port}`, and not a port, as in 8080")),
    }
}

fn address(host: &str, text: &str, port: u64) -> Result<String, String> {
    match u16::try_from(port) {
        Ok(port) => Ok(format!("{host}:{port}")),
        Err(_) => Err(format!("a port is 0 to 65535, and not {text}")),
    }
}

/// The number of processes that `WEB_CONCURRENCY` means.
pub(crate) fn processes(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| {
        format!("WEB_CONCURRENCY is `{text}`, and not a number of processes, as in 2")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_of_this_machine_and_that_of_a_platform_is_of_all_interfaces() {
        assert_eq!(place("8000").as_deref(), Ok("127.0.0.1:8000"));
        for other in [":8000", "[::1]:80", "unix:/run/app.sock", "inherited"] {
            assert_eq!(place(other).as_deref(), Ok(other));
        }
        assert_eq!(place_of_port("8000").as_deref(), Ok(":8000"));
        for wrong in ["70000", "99999999999"] {
            assert!(
                place(wrong).is_err() && place_of_port(wrong).is_err(),
                "{wrong}"
            );
        }
        for wrong in ["", "x", "-1", "80 "] {
            assert!(
                place_of_port(wrong).unwrap_err().starts_with("PORT is `"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn there_is_at_least_one_process() {
        assert_eq!(processes("3"), Ok(3));
        for wrong in ["0", "-1", "", "x", "1.5"] {
            assert!(processes(wrong).is_err(), "{wrong}");
        }
    }
}
