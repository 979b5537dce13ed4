//! Counts what a piece of code does: instructions by callgrind, allocations by a counting allocator.
//!
//! The program runs itself under valgrind, once for few rounds of a case and once for many; the
//! difference is what the rounds cost, without the start of the program.

#![allow(dead_code)] // a benchmark judges by what it needs

use std::process::{Command, ExitCode};

/// A case: its name, and what it does a round once it has been set up.
pub(crate) type Case = (&'static str, fn() -> Box<dyn Fn()>);

/// The cost of one round of a case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
}

/// The counts of all cases, by name.
pub(crate) struct Counts(Vec<(&'static str, Count)>);

impl Counts {
    pub(crate) fn of(&self, name: &str) -> Count {
        let found = self.0.iter().find(|(other, _)| *other == name);
        found
            .unwrap_or_else(|| panic!("no case is called {name:?}"))
            .1
    }
}

/// A bar, and whether it is met.
pub(crate) struct Bar {
    what: String,
    value: f64,
    bar: f64,
}

pub(crate) fn at_most(what: impl Into<String>, value: f64, bar: f64) -> Bar {
    let what = what.into();
    Bar { what, value, bar }
}

/// Runs every case and prints its counts; then asks `judge` for the bars.
///
/// Without `--bench`, as when `cargo test` runs the benchmarks, each case runs once and nothing is counted.
pub(crate) fn run(cases: &[Case], judge: impl FnOnce(&Counts) -> Vec<Bar>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--rounds", rounds, name] => {
            let (_, set_up) = cases
                .iter()
                .find(|(other, _)| *other == name)
                .expect("a case of ours");
            let round = set_up();
            (0..rounds.parse::<u32>().expect("a number")).for_each(|_| round());
            return ExitCode::SUCCESS;
        }
        _ if !arguments.iter().any(|argument| argument == "--bench") => {
            cases.iter().for_each(|(_, set_up)| set_up()());
            println!("{} cases run once; `cargo bench` counts them", cases.len());
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    println!(
        "{:<32} {:>14} {:>14}",
        "a request", "instructions", "allocations"
    );
    let counts = Counts(
        cases
            .iter()
            .map(|&(name, set_up)| (name, count(name, set_up)))
            .collect(),
    );
    let bars = judge(&counts);
    println!();
    for Bar { what, value, bar } in &bars {
        let verdict = if value <= bar { "met" } else { "NOT MET" };
        println!("{what}: {value:.2}, at most {bar:.2}: {verdict}");
    }
    match bars.iter().all(|bar| bar.value <= bar.bar) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn count(name: &'static str, set_up: fn() -> Box<dyn Fn()>) -> Count {
    let round = set_up();
    round();
    let allocations = allocation_counter::measure(&*round).count_total as f64;
    let instructions = (instructions(name, MANY) - instructions(name, FEW)) / f64::from(MANY - FEW);
    println!("{name:<32} {instructions:>14.0} {allocations:>14.0}");
    Count {
        instructions,
        allocations,
    }
}

fn instructions(name: &str, rounds: u32) -> f64 {
    let program = std::env::current_exe().expect("a program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--rounds", &rounds.to_string(), name])
        .output()
        .expect("valgrind counts the instructions: install the Debian package `valgrind`");
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    match collected {
        Some((_, count)) => count.trim().parse().expect("callgrind prints a number"),
        None => panic!("callgrind did not count {name:?}:\n{text}"),
    }
}

const FEW: u32 = 100;
const MANY: u32 = 1100;
