//! What the system knows of this process, by the names that Prometheus' clients use.

/// One number.
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) help: &'static str,
    pub(crate) value: f64,
}

/// What can be read; elsewhere than on Linux, nothing.
#[cfg(not(target_os = "linux"))]
pub(crate) fn read() -> Vec<Metric> {
    Vec::new()
}

/// What can be read from `/proc`.
#[cfg(target_os = "linux")]
pub(crate) fn read() -> Vec<Metric> {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let page = rustix::param::page_size() as f64;
    let stat = text("/proc/self/stat");
    let boot = text("/proc/stat");
    let boot = boot.lines().find_map(|line| line.strip_prefix("btime "));
    let boot: Option<f64> = boot.and_then(|seconds| seconds.trim().parse().ok());
    let limits = text("/proc/self/limits");
    let max_fds = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let max_fds = max_fds.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    // The directory that is read is open, too.
    let fds = std::fs::read_dir("/proc/self/fd").ok();
    let fds = fds.map(|entries| entries.count().saturating_sub(1) as f64);
    let metrics = [
        (
            "process_cpu_seconds",
            "counter",
            "CPU time of the process, in user and in system mode.",
            stat_field(&stat, 14)
                .zip(stat_field(&stat, 15))
                .map(|(user, system)| (user + system) / ticks),
        ),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Memory that is resident.",
            stat_field(&stat, 24).map(|pages| pages * page),
        ),
        (
            "process_virtual_memory_bytes",
            "gauge",
            "Memory that is mapped.",
            stat_field(&stat, 23),
        ),
        (
            "process_threads",
            "gauge",
            "Threads of the process.",
            stat_field(&stat, 20),
        ),
        (
            "process_start_time_seconds",
            "gauge",
            "When the process began, in seconds since 1970.",
            stat_field(&stat, 22)
                .zip(boot)
                .map(|(ticks_since, boot)| boot + ticks_since / ticks),
        ),
        (
            "process_open_fds",
            "gauge",
            "File descriptors that are open.",
            fds,
        ),
        (
            "process_max_fds",
            "gauge",
            "File descriptors that may be open.",
            max_fds,
        ),
    ];
    let known = metrics.into_iter().filter_map(|(name, kind, help, value)| {
        value.map(|value| Metric {
            name,
            kind,
            help,
            value,
        })
    });
    known.collect()
}

/// A field of `/proc/self/stat`, as `man 5 proc` numbers them, from the third on: the second, the program's
/// name, may hold anything.
#[cfg(target_os = "linux")]
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace()
        .nth(number.checked_sub(3)?)?
        .parse()
        .ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_called_anything() {
        let stat = "7 (a) b 9 (c)) S 1 7 7";
        assert_eq!(stat_field(stat, 4), Some(1.0));
        assert_eq!(stat_field(stat, 5), Some(7.0));
        assert_eq!(stat_field("", 5), None);
    }

    #[test]
    fn numbers_are_plausible() {
        let metrics = read();
        assert_eq!(metrics.len(), 7);
        for metric in metrics {
            assert!(
                metric.value >= 0.0 && metric.value.is_finite(),
                "{}",
                metric.name
            );
        }
    }
}
