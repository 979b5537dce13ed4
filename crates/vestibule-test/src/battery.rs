//! The common test cases for every middleware.

mod bench;
mod cases;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use vestibule_core::{App, BoxApp};

use bench::{Bench, Options};
use cases::{CASES, Case};

/// Runs a middleware through all cases. For options see [`Battery`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::CatchPanic;
///
/// vestibule_test::battery(CatchPanic::new).await;
/// # }
/// ```
///
/// # Panics
///
/// Panics if a case fails. The message names each failed case and its reason.
pub async fn battery<A: App>(wrap: impl Fn(BoxApp) -> A + Send + Sync + 'static) {
    Battery::new(wrap).run().await;
}

/// The test cases for every middleware, and the exceptions for this one.
///
/// Each case creates a new middleware around its own app and between the two halves of a
/// [`Lint`](vestibule_lint::Lint). If the middleware breaks a rule, the case fails. Each case runs
/// on its own thread with its own runtime with paused time. So a middleware that waits forever is
/// detected at once, and timers fire when the runtime is idle.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{Next, Request, around};
/// use vestibule_test::Battery;
///
/// // The middleware refuses some requests, so the test sets the header that it accepts.
/// let guard = |app| {
///     around(|request: Request, next: Next| async move {
///         if request.headers().contains_key("x-key") {
///             Ok(next.call(request).await)
///         } else {
///             Err(http::StatusCode::FORBIDDEN)
///         }
///     })(app)
/// };
/// Battery::new(guard).header("x-key", "1").run().await;
///
/// let report = Battery::new(guard).report().await;
/// assert!(!report.is_passed());
/// # }
/// ```
#[must_use = "a battery does nothing until it runs"]
pub struct Battery {
    options: Options,
    skipped: Vec<&'static str>,
}

impl Battery {
    /// Creates the cases for the middleware that `wrap` creates around an app.
    pub fn new<A: App>(wrap: impl Fn(BoxApp) -> A + Send + Sync + 'static) -> Self {
        let wrap = move |app: BoxApp| wrap(app).boxed();
        Self {
            options: Options::new(Arc::new(wrap)),
            skipped: Vec::new(),
        }
    }

    /// Sets a header of each request, for middleware that refuses requests without it.
    ///
    /// # Panics
    ///
    /// Panics if `name` or `value` is not valid in a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes());
        let name = name.unwrap_or_else(|_| panic!("invalid header name"));
        let value = HeaderValue::from_str(value);
        let value = value.unwrap_or_else(|_| panic!("{name}: invalid header value"));
        self.options.headers.push((name, value));
        self
    }

    /// Allows the middleware to buffer bodies: they need not stream or keep their trailers.
    pub fn buffers(mut self) -> Self {
        self.options.buffers = true;
        self
    }

    /// Allows the middleware to change response bodies, which are then not compared.
    pub fn changes_body(mut self) -> Self {
        self.options.changes_body = true;
        self
    }

    /// Allows the middleware to replace the status of the app with this one, such as 405 or 413. A
    /// case with this status passes. A GET must still reach the app.
    pub fn allows_status(mut self, status: u16) -> Self {
        self.options.statuses.push(status);
        self
    }

    /// Allows the middleware to break a rule of the lint.
    ///
    /// # Panics
    ///
    /// Panics if `rule` is not the id of a rule.
    pub fn allows_rule(mut self, rule: &str) -> Self {
        let found = vestibule_lint::Rule::find(rule);
        let found = found.unwrap_or_else(|| panic!("no rule is called {rule:?}"));
        self.options.rules.push(found.id);
        self
    }

    /// Skips a case. Put the reason into a comment beside the call.
    ///
    /// # Panics
    ///
    /// Panics if `case` is not the name of a case ([`Battery::cases`]).
    pub fn skip(mut self, case: &str) -> Self {
        self.skipped.push(named(case));
        self
    }

    /// Runs only this case. Use it to debug a failed case.
    ///
    /// # Panics
    ///
    /// Panics as [`Battery::skip`].
    pub fn only(mut self, case: &str) -> Self {
        let only = named(case);
        let others = CASES
            .iter()
            .map(|case| case.name)
            .filter(|name| *name != only);
        self.skipped.extend(others);
        self
    }

    /// Does not pause time, for middleware that uses the network.
    pub fn real_time(mut self) -> Self {
        self.options.real_time = true;
        self
    }

    /// Returns the names of all cases, with a sentence about each.
    ///
    /// ```
    /// let cases: Vec<_> = vestibule_test::Battery::cases().collect();
    /// let (name, sentence) = cases[1];
    /// assert_eq!(name, "head");
    /// assert_eq!(sentence, "A response to HEAD has no body bytes, and the headers of GET.");
    /// ```
    pub fn cases() -> impl Iterator<Item = (&'static str, &'static str)> {
        CASES.iter().map(|case| (case.name, case.says))
    }

    /// Runs all cases.
    ///
    /// # Panics
    ///
    /// Panics if a case fails. The message names each failed case and its reason.
    pub async fn run(self) {
        let report = self.report().await;
        assert!(report.is_passed(), "{report}");
    }

    /// Runs all cases and returns the results.
    pub async fn report(self) -> Report {
        let (tell, told) = tokio::sync::oneshot::channel();
        // The caller's runtime must not block meanwhile, since the middleware may need it.
        thread::spawn(move || {
            let cases = CASES
                .iter()
                .filter(|case| !self.skipped.contains(&case.name));
            let outcomes = cases.map(|case| Outcome {
                case: case.name,
                says: case.says,
                fault: on_a_thread(case, &self.options, WALL_LIMIT).err(),
            });
            let _ = tell.send(Report {
                outcomes: outcomes.collect(),
            });
        });
        told.await
            .unwrap_or_else(|_| panic!("the thread of the battery panicked"))
    }
}

impl fmt::Debug for Battery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Battery")
            .field("skipped", &self.skipped)
            .finish_non_exhaustive()
    }
}

/// The results of the cases.
#[derive(Clone, Debug)]
pub struct Report {
    outcomes: Vec<Outcome>,
}

#[derive(Clone, Debug)]
struct Outcome {
    case: &'static str,
    says: &'static str,
    fault: Option<String>,
}

impl Report {
    /// Returns whether all cases passed.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.failed().next().is_none()
    }

    /// Returns the names of the failed cases, each with its reason.
    pub fn failed(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = self.outcomes.iter();
        all.filter_map(|outcome| Some((outcome.case, outcome.fault.as_deref()?)))
    }

    /// Returns the names of the passed cases.
    pub fn passed(&self) -> impl Iterator<Item = &'static str> {
        let passed = self
            .outcomes
            .iter()
            .filter(|outcome| outcome.fault.is_none());
        passed.map(|outcome| outcome.case)
    }
}

impl fmt::Display for Report {
    /// Writes one line for the result, and two for each failed case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, all) = (self.failed().count(), self.outcomes.len());
        writeln!(f, "{failed} of {all} cases failed")?;
        for Outcome { case, says, fault } in &self.outcomes {
            if let Some(fault) = fault {
                writeln!(f, "- {case}: {says}\n  {fault}")?;
            }
        }
        Ok(())
    }
}

/// Returns the static name of a case.
fn named(case: &str) -> &'static str {
    let found = CASES.iter().find(|own| own.name == case);
    let found = found.unwrap_or_else(|| panic!("no case is called {case:?}; see `Battery::cases`"));
    found.name
}

fn on_a_thread(case: &'static Case, options: &Options, limit: Duration) -> Result<(), String> {
    let options = options.clone();
    let (tell, told) = mpsc::channel();
    let thread = thread::Builder::new().name(format!("battery: {}", case.name));
    let spawned = thread.spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| on_a_runtime(case, options)));
        let outcome = outcome.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied());
            Err(format!("it panicked: {}", text.unwrap_or("without a text")))
        });
        let _ = tell.send(outcome);
    });
    if let Err(error) = spawned {
        return Err(format!("its thread could not be started: {error}"));
    }
    match told.recv_timeout(limit) {
        Ok(outcome) => outcome,
        // The thread continues to run, since it cannot be stopped.
        Err(RecvTimeoutError::Timeout) => {
            Err(format!("it blocks its thread, or runs forever ({limit:?})"))
        }
        Err(RecvTimeoutError::Disconnected) => Err("its thread panicked".to_owned()),
    }
}

fn on_a_runtime(case: &Case, options: Options) -> Result<(), String> {
    let is_paused = !options.real_time;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(is_paused)
        .build();
    let runtime = runtime.map_err(|error| format!("its runtime could not be built: {error}"))?;
    let limit = if is_paused { PAUSED_LIMIT } else { REAL_LIMIT };
    runtime.block_on(async {
        let bench = Bench::new(options);
        let waited = tokio::time::timeout(limit, (case.run)(bench.clone())).await;
        // A broken rule is often the cause of the fault.
        let broken = bench.broken();
        let fault = match waited {
            Ok(Ok(())) => String::new(),
            Ok(Err(fault)) => fault,
            Err(_) => "it waits forever".to_owned(),
        };
        match [fault, broken]
            .iter()
            .filter(|text| !text.is_empty())
            .cloned()
            .collect::<Vec<_>>()
        {
            faults if faults.is_empty() => Ok(()),
            faults => Err(faults.join("; ")),
        }
    })
}

/// Paused time passes at once when the runtime is idle.
const PAUSED_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
const REAL_LIMIT: Duration = Duration::from_secs(20);
const WALL_LIMIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_thread_is_reported() {
        static BLOCKS: Case = Case {
            name: "blocks",
            says: "It blocks.",
            run: |_| {
                Box::pin(async {
                    loop {
                        thread::park();
                    }
                })
            },
        };
        let options = Options::new(Arc::new(|app| app));
        let fault = on_a_thread(&BLOCKS, &options, Duration::from_millis(20)).unwrap_err();
        assert!(fault.starts_with("it blocks its thread"), "{fault}");
    }
}
