//! How many descriptors the process may have, and what that is in connections.

/// How many connections the process has descriptors for; `None` when that is not known.
pub(crate) fn max_connections() -> Option<usize> {
    connections_within(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

/// Four fifths of the soft limit on open files, less what the app itself may need: from the text
/// of Linux's `/proc/self/limits`, `Max open files  1024  4096  files`.
fn connections_within(limits: &str) -> Option<usize> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    let files: usize = line.split_whitespace().next()?.parse().ok()?;
    Some((files.saturating_sub(100) / 5 * 4).max(files / 4).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_bound_connections() {
        let line = |soft: &str| {
            format!(
                "Limit  Soft Limit  Hard Limit  Units\nMax open files            {soft}                 1048576              files     \nMax locked memory 1 2 bytes\n"
            )
        };
        let cases = [
            ("1024", Some(736)),
            ("1048576", Some(838_780)),
            ("64", Some(16)),
            ("0", Some(1)),
            ("unlimited", None),
        ];
        for (soft, most) in cases {
            assert_eq!(connections_within(&line(soft)), most, "{soft}");
        }
        assert_eq!(connections_within(""), None);
    }
}
