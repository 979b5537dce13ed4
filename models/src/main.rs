//! What is synchronised by hand, in every order that its threads can run in.
//!
//! `cargo xtask models` runs all, `cargo xtask models bell` those of one piece. `cargo xtask models mistakes` makes the
//! mistakes that are noted beside the models, one at a time, and demands that each is found.

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

/// One model: a small program around a piece of a crate, which asserts what has to hold.
struct Model {
    /// The piece, as `build.rs` names it.
    piece: &'static str,
    /// What holds in every order.
    shows: &'static str,
    run: fn(),
    /// Mistakes in the piece that the model finds: what is replaced, and by what.
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

/// Runs models, two at a time; how many failed.
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

/// Makes the mistakes; how many were not found. Without one the models have to pass, or it would say nothing.
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

/// Runs `model` in every order with at most so many preemptions: a thread may be interrupted anywhere so many times, and
/// gives way as often as it waits. Mistakes need two or three.
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
