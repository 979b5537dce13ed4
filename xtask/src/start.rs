//! Checks the pages of `docs/start`: builds and runs each as its reader would, and compares the
//! output with the page.
//!
//! A block of a page is either a file, when the paragraph before it ends in the file's name, or
//! commands with their output. The files are the package beside the page, so that it can be built
//! there too.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::run;

const PAGES: &[&str] = &[
    "axum-middleware",
    "hyper-service",
    "middleware-crate",
    "standalone",
];

/// Checks, builds and runs each page.
pub(crate) fn check() -> Result<(), String> {
    // A reader has no lock file. The versions start with those of this repository; other
    // dependencies get their newest versions.
    let lock = start().join("Cargo.lock");
    if !lock.exists() {
        fs::copy(root().join("Cargo.lock"), &lock)
            .map_err(|error| format!("{}: {error}", lock.display()))?;
    }
    let mut fmt = Command::new(env!("CARGO"));
    fmt.args(["fmt", "--all", "--check"]).current_dir(start());
    run(fmt, "cargo fmt, in docs/start")?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--workspace", "--quiet"]);
    cargo.current_dir(start()).env("CARGO_TARGET_DIR", target());
    run(cargo, "cargo build, in docs/start")?;
    for page in PAGES {
        println!("xtask: docs/start/{page}");
        let faults = one(page).map_err(|error| format!("docs/start/{page}: {error}"))?;
        if !faults.is_empty() {
            return Err(format!(
                "docs/start/{page}/README.md: {}",
                faults.join("\n")
            ));
        }
    }
    Ok(())
}

/// Returns the faults of one page.
fn one(page: &str) -> Result<Vec<String>, String> {
    let folder = start().join(page);
    let read = |path: PathBuf| {
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let text = read(folder.join("README.md"))?;
    let mut faults = Vec::new();
    let mut program = None;
    let mut added = Vec::new();
    for block in blocks(&text) {
        match block.language {
            "console" => {
                let (command, output) = block.command();
                if command == "cargo run" {
                    let started = Program::start(page, &folder)?;
                    started.expect(output, true, &mut faults)?;
                    program = Some(started);
                } else if command == "cargo test" {
                    let mut test = Command::new(env!("CARGO"));
                    test.args(["test", "--quiet"]);
                    test.current_dir(&folder).env("CARGO_TARGET_DIR", target());
                    run(test, &format!("cargo test, in docs/start/{page}"))?;
                } else if command.starts_with("curl ") {
                    let port = program.as_ref().map_or(0, |program| program.port);
                    compare(
                        command,
                        output,
                        &sh(&command.replace(PORT, &port.to_string()))?,
                        &mut faults,
                    );
                } else {
                    added.extend(block.text.lines().filter_map(cargo_add));
                }
            }
            // The log of the program, which has no fixed time.
            "text" => {
                let program = program.as_ref().ok_or("a log before `cargo run`")?;
                program.expect(block.text, false, &mut faults)?;
            }
            "toml" => {
                let manifest = read(folder.join("Cargo.toml"))?;
                if !manifest.ends_with(block.text) || !block.text.starts_with("[dependencies]") {
                    faults.push("the manifest differs from Cargo.toml".to_owned());
                }
                if dependencies(block.text) != sorted(&added) {
                    faults.push(format!(
                        "`cargo add` adds {:?}, and the manifest has {:?}",
                        sorted(&added),
                        dependencies(block.text)
                    ));
                }
            }
            _ => {
                let name = block
                    .file
                    .ok_or_else(|| format!("no file name before\n{}", block.text))?;
                if read(folder.join(name))? != block.text {
                    faults.push(format!("the block differs from {name}"));
                }
            }
        }
    }
    Ok(faults)
}

/// A fenced block, and the file name at the end of the paragraph before it.
struct Block<'a> {
    language: &'a str,
    file: Option<&'a str>,
    text: &'a str,
}

impl<'a> Block<'a> {
    /// Returns the first command and its output.
    fn command(&self) -> (&'a str, &'a str) {
        let (command, output) = self.text.split_once('\n').unwrap_or((self.text, ""));
        (command.strip_prefix("$ ").unwrap_or(command), output)
    }
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((prose, after)) = rest.split_once("\n```") {
        let (language, after) = after.split_once('\n').unwrap_or((after, ""));
        // The fence is at the start of a line, not in a comment of the code. The line end before it
        // belongs to the text.
        let end = after.find("\n```\n").map_or(after.len(), |at| at + 1);
        let last = prose.trim_end().lines().last().unwrap_or("");
        let file = last.trim_end_matches(':').rsplit('`').nth(1);
        blocks.push(Block {
            language,
            file,
            text: &after[..end],
        });
        rest = after.get(end + 3..).unwrap_or("");
    }
    blocks
}

/// Parses `cargo add NAME --features a,b` to the name and the features.
fn cargo_add(line: &str) -> Option<(String, Vec<String>)> {
    let words: Vec<_> = line.strip_prefix("$ cargo add ")?.split(' ').collect();
    let at = words.iter().position(|word| *word == "--features");
    let features = at.and_then(|at| words.get(at + 1));
    let name = (0..words.len())
        .find(|index| !words[*index].starts_with("--") && Some(*index) != at.map(|at| at + 1))?;
    let features = features.map_or(Vec::new(), |it| it.split(',').map(str::to_owned).collect());
    Some((words[name].to_owned(), features))
}

/// Parses the lines of a manifest in the same way.
fn dependencies(manifest: &str) -> Vec<(String, Vec<String>)> {
    let lines = manifest.lines().filter_map(|line| line.split_once(" = "));
    let all = lines.map(|(name, rest)| {
        let list = rest.split_once("features = [").map_or("", |(_, list)| list);
        let features = list.split('"').skip(1).step_by(2).map(str::to_owned);
        (name.to_owned(), features.collect())
    });
    sorted(&all.collect::<Vec<_>>())
}

fn sorted(all: &[(String, Vec<String>)]) -> Vec<(String, Vec<String>)> {
    let mut all = all.to_vec();
    all.sort();
    all
}

/// A program on its own port, which is stopped when this value is dropped.
struct Program {
    child: Child,
    port: u16,
    printed: Arc<Mutex<String>>,
}

impl Program {
    /// Builds the page's program for a free port, and starts it.
    fn start(page: &str, folder: &Path) -> Result<Self, String> {
        let say = |error: std::io::Error| error.to_string();
        let free = TcpListener::bind("127.0.0.1:0").map_err(say)?;
        let port = free.local_addr().map_err(say)?.port();
        drop(free);
        // In a copy: the page uses port 3000, which may be in use.
        let copy = target().join("pages");
        copy_folder(&start(), &copy, &|text| {
            text.replace(PORT, &port.to_string())
        })?;
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", page]);
        build.current_dir(&copy).env("CARGO_TARGET_DIR", target());
        run(
            build,
            &format!("cargo build --package {page}, at port {port}"),
        )?;
        let mut child = Command::new(target().join("debug").join(page))
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(say)?;
        let mut stdout = child.stdout.take().ok_or("no standard output")?;
        let printed = Arc::new(Mutex::new(String::new()));
        let heard = printed.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                heard
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&text);
            }
        });
        let program = Self {
            child,
            port,
            printed,
        };
        program.wait(|_| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        Ok(program)
    }

    /// Waits until the program has printed these lines, at the start or at any time.
    fn expect(&self, lines: &str, at_first: bool, faults: &mut Vec<String>) -> Result<(), String> {
        let wanted = plain(lines);
        let has = |printed: &str| match at_first {
            true => plain(printed).starts_with(&wanted),
            false => plain(printed).contains(&wanted),
        };
        if self.wait(has).is_err() {
            let printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
            faults.push(format!(
                "the page shows\n{lines}\nthe program prints\n{printed}"
            ));
        }
        Ok(())
    }

    fn wait(&self, until: impl Fn(&str) -> bool) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if until(&self.printed.lock().unwrap_or_else(PoisonError::into_inner)) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("the program did not print these lines in time".to_owned())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn copy_folder(from: &Path, to: &Path, change: &dyn Fn(&str) -> String) -> Result<(), String> {
    let say = |error: std::io::Error| format!("{}: {error}", from.display());
    fs::create_dir_all(to).map_err(say)?;
    for entry in fs::read_dir(from).map_err(say)? {
        let entry = entry.map_err(say)?;
        let (path, name) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &name, change)?;
            continue;
        }
        let text = fs::read_to_string(&path).map_err(say)?;
        let crates = root().join("crates").display().to_string();
        let text = match path.extension().is_some_and(|it| it == "rs") {
            true => change(&text),
            // The crates are no longer two folders above.
            false => text.replace("../../crates", &crates),
        };
        if !fs::read_to_string(&name).is_ok_and(|old| old == text) {
            fs::write(&name, text).map_err(say)?;
        }
    }
    Ok(())
}

fn sh(command: &str) -> Result<String, String> {
    // The page is for a terminal; `--silent` hides the progress bar.
    let command = command.replacen("curl ", "curl --silent ", 1);
    let output = Command::new("sh").args(["-c", &command]).output();
    let output = output.map_err(|error| format!("{command}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn compare(command: &str, shown: &str, printed: &str, faults: &mut Vec<String>) {
    if plain(shown).trim_end() != plain(printed).trim_end() {
        faults.push(format!(
            "`{command}`: the page shows\n{shown}\nit prints\n{printed}"
        ));
    }
}

/// Returns the lines without varying parts: numbers, and the values of times and tags.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for line in text.lines() {
        let line = line.trim_end();
        let name = ["date: ", "etag: ", "last-modified: "]
            .into_iter()
            .find(|name| line.starts_with(name));
        let mut in_brackets = false;
        for letter in name.unwrap_or(line).chars() {
            match letter {
                '[' | ']' => in_brackets = letter == '[',
                _ if in_brackets => {}
                '0'..='9' if plain.ends_with('0') => {}
                '0'..='9' => plain.push('0'),
                other => plain.push(other),
            }
        }
        plain.push('\n');
    }
    plain
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn start() -> PathBuf {
    root().join("docs/start")
}

fn target() -> PathBuf {
    root().join("target/start")
}

/// The port of the pages.
const PORT: &str = "3000";

/// Maximum time until a program prints the lines of its page.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_their_file() {
        let text = "Say `x`, and write `a.rs`:\n\n```rust\nfn a() {}\n```\n\nStart:\n\n```console\n$ run it\nout\n```\n";
        let all = blocks(text);
        assert_eq!(all[0].file, Some("a.rs"));
        assert_eq!((all[0].language, all[0].text), ("rust", "fn a() {}\n"));
        assert_eq!(all[1].file, None);
        assert_eq!(all[1].command(), ("run it", "out\n"));
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn commands_and_manifests_agree() {
        let lines = [
            "$ cargo add b --no-default-features --features x,y",
            "$ cargo add --dev a",
            "$ cd b",
        ];
        let added: Vec<_> = lines.into_iter().filter_map(cargo_add).collect();
        let manifest =
            "[dependencies]\na = \"1\"\nb = { version = \"1\", features = [\"x\", \"y\"] }\n";
        assert_eq!(sorted(&added), dependencies(manifest));
    }

    #[test]
    fn varying_parts_are_not_compared() {
        let (one, other) = (
            "took 0.12 ms\ndate: Mon\n[1/Nov] x 7",
            "took 11.5 ms\ndate: Tue\n[2/Dec] x 10",
        );
        assert_eq!(plain(one), plain(other));
        assert_ne!(plain("a 1"), plain("b 1"));
    }
}
