//! Reaps processes whose parent has ended, for a supervisor that is the first process of a container.
//!
//! The kernel makes process 1 their parent. Without a wait they stay as zombies and use up process
//! numbers.

use std::collections::HashSet;
use std::fs;

use rustix::process::{Pid, WaitOptions, waitpid};

/// Whether this process inherits orphans.
pub(crate) fn are_ours() -> bool {
    std::process::id() == 1
}

/// Waits for each child that has ended and is not in `own`, whose statuses are waited for elsewhere.
pub(crate) fn reap(own: &HashSet<u32>) {
    let Ok(entries) = fs::read_dir("/proc") else {
        return;
    };
    let parent = std::process::id();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if own.contains(&pid) || !is_zombie_of(&stat, parent) {
            continue;
        }
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
}

/// Whether a process has ended and `parent` has to wait for it: from `pid (name) state parent ...`
/// (proc_pid_stat(5)). The name may have spaces and parentheses.
fn is_zombie_of(stat: &str, parent: u32) -> bool {
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return false;
    };
    let mut fields = rest.split_whitespace();
    fields.next() == Some("Z") && fields.next().and_then(|it| it.parse().ok()) == Some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_is_told_by_its_state_and_parent() {
        let cases = [
            ("7 (sleep) Z 1 7", true),
            ("7 (a) Z 2) Z 1 7", true),
            ("7 (sleep) S 1 7", false),
            ("7 (sleep) Z 2 7", false),
            ("7 (Z 1", false),
            ("", false),
        ];
        for (stat, want) in cases {
            assert_eq!(is_zombie_of(stat, 1), want, "{stat}");
        }
    }
}
