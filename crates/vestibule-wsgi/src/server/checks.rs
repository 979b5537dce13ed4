//! Options that do not fit together.

use super::args::Args;

/// All that is wrong with the options, each with what to do about it.
pub(crate) fn faults(args: &Args) -> Vec<String> {
    let mut faults = Vec::new();
    if args.workers.as_worker.is_none() && args.processes() == 0 {
        let ignored = [
            ("--reload", args.python.reload),
            ("--max-requests", args.workers.max_requests.is_some()),
            ("--max-memory", args.workers.max_memory.is_some()),
            ("--start-timeout", args.workers.start_timeout.is_some()),
            ("--on-worker-exit", args.workers.on_worker_exit.is_some()),
        ];
        for (option, is_given) in ignored {
            if is_given {
                faults.push(format!(
                    "{option} needs a supervisor, which `--processes 0` does without; \
                     take `--processes 1`, or leave {option} out"
                ));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn read(options: &[&str]) -> Vec<String> {
        let all = ["x", "app:app"].iter().chain(options).map(OsString::from);
        faults(&Args::read(&all.collect::<Vec<_>>()).unwrap())
    }

    #[test]
    fn without_a_supervisor_its_options_are_refused_all_at_once() {
        let options = [
            "--reload",
            "--max-requests=9",
            "--max-memory=9",
            "--start-timeout=9s",
            "--on-worker-exit=hooks:ended",
        ];
        let with = |count: &str| {
            let mut all = vec!["-p", count];
            all.extend(options);
            read(&all)
        };
        assert_eq!(with("1"), [""; 0]);
        let faults = with("0");
        assert_eq!(faults.len(), options.len());
        for (fault, option) in faults.iter().zip(options) {
            let name = option.split('=').next().unwrap();
            assert!(
                fault.starts_with(&format!("{name} needs a supervisor")),
                "{fault}"
            );
            assert!(read(&["-p", "0", option]).len() == 1, "{option}");
            assert!(read(&[option]).is_empty(), "{option}");
        }
        assert!(read(&["-p", "0"]).is_empty());
    }
}
