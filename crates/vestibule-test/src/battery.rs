//! The common cases that every middleware runs through.

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

/// Runs a middleware through all cases; for options see [`Battery`].
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
/// When a case fails: the panic names each that did, and says why.
pub async fn battery<A: App>(wrap: impl Fn(BoxApp) -> A + Send + Sync + 'static) {
    Battery::new(wrap).run().await;
}

/// The cases that every middleware has to pass, and what this one is allowed.
///
/// Each case makes the middleware anew, around an app of its own and between the two halves of a
/// [`Lint`](vestibule_lint::Lint): a rule that the middleware breaks fails the case. Each runs on a
/// thread with a runtime of its own, in which time stands still while there is something to do: a
/// middleware that waits for ever is found at once, and timers fire when nothing else can happen.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{Next, Request, around};
/// use vestibule_test::Battery;
///
/// // It answers some requests itself, so it says how to get past it.
/// let guard = |app| {
///     around(|request: Request, next: Next| async move {
///         match request.headers().contains_key("x-key") {
///             true => Ok(next.call(request).await),
///             false => Err(http::StatusCode::FORBIDDEN),
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
    /// The cases for the middleware that `wrap` makes around an app.
    pub fn new<A: App>(wrap: impl Fn(BoxApp) -> A + Send + Sync + 'static) -> Self {
        let wrap = move |app: BoxApp| wrap(app).boxed();
        Self {
            options: Options::new(Arc::new(wrap)),
            skipped: Vec::new(),
        }
    }

    /// Sets a header of each request: what it takes to get past the middleware.
    ///
    /// # Panics
    ///
    /// `name` and `value` are those of a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes());
        let name = name.unwrap_or_else(|_| panic!("this is no header name"));
        let value = HeaderValue::from_str(value);
        let value = value.unwrap_or_else(|_| panic!("{name}: this is no header value"));
        self.options.headers.push((name, value));
        self
    }

    /// Says that the middleware reads bodies whole: they need not be lazy, nor keep their trailers.
    pub fn buffers(mut self) -> Self {
        self.options.buffers = true;
        self
    }

    /// Says that response bodies do not have the bytes of the app's: they are not compared.
    pub fn changes_body(mut self) -> Self {
        self.options.changes_body = true;
        self
    }

    /// Says that the middleware may answer with this status where the app answers otherwise: 405,
    /// 413. The case is passed then. A GET has to reach the app anyway.
    pub fn allows_status(mut self, status: u16) -> Self {
        self.options.statuses.push(status);
        self
    }

    /// Lets a rule of the lint be broken.
    ///
    /// # Panics
    ///
    /// `rule` is the id of a rule.
    pub fn allows_rule(mut self, rule: &str) -> Self {
        let found = vestibule_lint::Rule::find(rule);
        let found = found.unwrap_or_else(|| panic!("no rule is called {rule:?}"));
        self.options.rules.push(found.id);
        self
    }

    /// Leaves a case out; the reason belongs into a comment beside it.
    ///
    /// # Panics
    ///
    /// `case` is the name of a case, one of [`Battery::cases`].
    pub fn skip(mut self, case: &str) -> Self {
        self.skipped.push(named(case));
        self
    }

    /// Runs this case alone: for the one that fails.
    ///
    /// # Panics
    ///
    /// As [`Battery::skip`].
    pub fn only(mut self, case: &str) -> Self {
        let only = named(case);
        let others = CASES
            .iter()
            .map(|case| case.name)
            .filter(|name| *name != only);
        self.skipped.extend(others);
        self
    }

    /// Lets time pass as it does, for middleware that talk to the outside.
    pub fn real_time(mut self) -> Self {
        self.options.real_time = true;
        self
    }

    /// The names of all cases, and what each says.
    ///
    /// ```
    /// let cases: Vec<_> = vestibule_test::Battery::cases().collect();
    /// assert_eq!(cases[1], ("head", "An answer to HEAD has no bytes, and the headers of GET."));
    /// ```
    pub fn cases() -> impl Iterator<Item = (&'static str, &'static str)> {
        CASES.iter().map(|case| (case.name, case.says))
    }

    /// Runs all cases.
    ///
    /// # Panics
    ///
    /// When a case fails: the panic names each that did, and says why.
    pub async fn run(self) {
        let report = self.report().await;
        assert!(report.is_passed(), "{report}");
    }

    /// Runs all cases and tells how it went.
    pub async fn report(self) -> Report {
        let (tell, told) = tokio::sync::oneshot::channel();
        // The runtime that asks is not blocked meanwhile: the middleware may need it.
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
            .unwrap_or_else(|_| panic!("the battery broke down"))
    }
}

impl fmt::Debug for Battery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Battery")
            .field("skipped", &self.skipped)
            .finish_non_exhaustive()
    }
}

/// How the cases went.
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
    /// Whether each case was passed.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.failed().next().is_none()
    }

    /// The names of the cases that failed, and why each did.
    pub fn failed(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = self.outcomes.iter();
        all.filter_map(|outcome| Some((outcome.case, outcome.fault.as_deref()?)))
    }

    /// The names of the cases that were passed.
    pub fn passed(&self) -> impl Iterator<Item = &'static str> {
        let passed = self
            .outcomes
            .iter()
            .filter(|outcome| outcome.fault.is_none());
        passed.map(|outcome| outcome.case)
    }
}

impl fmt::Display for Report {
    /// A line for how it went, and two for each case that failed.
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

/// The name of a case that there is.
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
        return Err(format!("there is no thread for it: {error}"));
    }
    match told.recv_timeout(limit) {
        Ok(outcome) => outcome,
        // The thread is left to itself: nothing can stop it.
        Err(RecvTimeoutError::Timeout) => Err(format!(
            "it blocks its thread, or runs for ever ({limit:?})"
        )),
        Err(RecvTimeoutError::Disconnected) => Err("it broke down".to_owned()),
    }
}

fn on_a_runtime(case: &Case, options: Options) -> Result<(), String> {
    let is_paused = !options.real_time;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(is_paused)
        .build();
    let runtime = runtime.map_err(|error| format!("there is no runtime for it: {error}"))?;
    let limit = if is_paused { PAUSED_LIMIT } else { REAL_LIMIT };
    runtime.block_on(async {
        let bench = Bench::new(options);
        let waited = tokio::time::timeout(limit, (case.run)(bench.clone())).await;
        // What broke a rule is often the cause of what went wrong.
        let broken = bench.broken();
        let fault = match waited {
            Ok(Ok(())) => String::new(),
            Ok(Err(fault)) => fault,
            Err(_) => "it waits for ever".to_owned(),
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

/// Time that stands still passes at once when nothing else happens.
const PAUSED_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
const REAL_LIMIT: Duration = Duration::from_secs(20);
const WALL_LIMIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_blocks_its_thread_is_given_up() {
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
