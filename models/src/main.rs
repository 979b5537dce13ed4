//! Models of manually synchronised code, run in every order of its threads.
//!
//! `cargo xtask models` runs all models, `cargo xtask models bell` those of one part. `cargo xtask
//! models mistakes` applies the mistakes that are listed in the models, one at a time, and requires
//! that each is detected.

mod auth;
mod core;
mod environ;
mod hyper;
mod logging;
mod rarely;
mod socket;
mod sync;
mod task;
mod tower;
mod wsgi;

use std::panic::catch_unwind;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use vestibule_core::BoxError;

/// One model: a small program around a part of a crate, with assertions.
struct Model {
    /// The name of the part in `build.rs`.
    piece: &'static str,
    /// The property that holds in every order.
    shows: &'static str,
    run: fn(),
    /// Mistakes that the model detects: the text to replace, and its replacement.
    mistakes: &'static [(&'static str, &'static str)],
}

const MODELS: &[&[Model]] = &[
    auth::MODELS,
    core::MODELS,
    environ::MODELS,
    hyper::MODELS,
    logging::MODELS,
    socket::MODELS,
    tower::MODELS,
    wsgi::MODELS,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let all: Vec<&Model> = MODELS.iter().copied().flatten().collect();
    let failed = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run(&all),
        ["mistakes"] => make_mistakes(&all),
        [piece] => run(&of(&all, piece)),
        ["mistakes", piece] => make_mistakes(&of(&all, piece)),
        _ => panic!("a piece, `mistakes`, or nothing"),
    };
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn of<'a>(all: &[&'a Model], piece: &str) -> Vec<&'a Model> {
    let found: Vec<_> = all.iter().filter(|it| it.piece == piece).copied().collect();
    assert!(!found.is_empty(), "no piece is called {piece}");
    found
}

/// Runs models, two at a time. Returns the number of failures.
fn run(models: &[&Model]) -> usize {
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(model) = models.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let ran = catch_unwind(model.run);
                    let how = if ran.is_ok() { "ok" } else { "FAILED" };
                    failed.fetch_add(usize::from(ran.is_err()), Ordering::Relaxed);
                    let (piece, shows) = (model.piece, model.shows);
                    println!(
                        "{how:6} {piece:12} {:5.1} s  {shows}",
                        start.elapsed().as_secs_f64()
                    );
                }
            });
        }
    });
    let failed = failed.into_inner();
    println!("models: {} passed, {failed} failed", models.len() - failed);
    failed
}

/// Applies the mistakes. Returns the number that were not detected. Without mistakes, the models
/// must pass first.
fn make_mistakes(models: &[&Model]) -> usize {
    let mut missed = run(models);
    for model in models {
        for (from, to) in model.mistakes {
            let is_found = finds(model, from, to);
            missed += usize::from(!is_found);
            let how = if is_found { "found" } else { "MISSED" };
            println!("{how:6} {:12} `{from}` as `{to}`", model.piece);
        }
    }
    missed
}

fn finds(model: &Model, from: &str, to: &str) -> bool {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--quiet",
        "--manifest-path",
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
    ]);
    let room = std::env::current_exe()
        .expect("it runs")
        .with_file_name("mistakes");
    cargo.arg("--target-dir").arg(&room);
    cargo.env("RUSTFLAGS", "--allow warnings");
    cargo.envs([
        ("MISTAKE_IN", model.piece),
        ("MISTAKE_FROM", from),
        ("MISTAKE_TO", to),
    ]);
    assert!(
        cargo.status().is_ok_and(|status| status.success()),
        "`{to}` does not compile"
    );
    let program = room.join("debug").join(env!("CARGO_PKG_NAME"));
    let output = Command::new(program)
        .arg(model.piece)
        .output()
        .expect("it was built");
    !output.status.success()
}

/// Runs `model` in every order with at most `preemptions` interruptions of running threads. Waiting
/// threads always yield. Mistakes need two or three.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let orders = std::sync::Arc::new(Mutex::new(0));
    let count = orders.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(move || {
        *count.lock().expect("nothing panics with it") += 1;
        model();
    });
    let orders = *orders.lock().expect("nothing panics with it");
    assert!(orders > 1, "there is nothing to interleave");
}
