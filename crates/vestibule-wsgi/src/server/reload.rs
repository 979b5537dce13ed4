//! Whether Python files have changed, for development.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::{Interval, MissedTickBehavior, interval};

/// The Python files below some directories, and those that were imported, with the times of their last
/// changes.
pub(crate) struct Files {
    roots: Vec<PathBuf>,
    /// Files of imported modules, which may lie elsewhere, and behind links.
    imported: HashSet<PathBuf>,
    times: HashMap<PathBuf, SystemTime>,
    /// It goes on when a wait for a change is dropped.
    interval: Interval,
}

impl Files {
    pub(crate) fn below(roots: Vec<PathBuf>) -> Self {
        let mut files = Self {
            roots,
            imported: HashSet::new(),
            times: HashMap::new(),
            interval: interval(INTERVAL),
        };
        files
            .interval
            .set_missed_tick_behavior(MissedTickBehavior::Delay);
        files.times = files.look();
        files
    }

    /// Looks at the file of an imported module, too.
    pub(crate) fn add(&mut self, path: PathBuf) {
        if let Some(time) = modified(&path) {
            self.times.entry(path.clone()).or_insert(time);
        }
        self.imported.insert(path);
    }

    /// Waits for a change; gives a file that has changed, is new, or is gone. It may be dropped at any
    /// time.
    pub(crate) async fn changed(&mut self) -> PathBuf {
        loop {
            self.interval.tick().await;
            let now = self.look();
            let differs = |one: &HashMap<PathBuf, SystemTime>, other: &HashMap<_, _>| {
                let mut all = one.iter();
                let found = all.find(|(path, time)| other.get(*path) != Some(*time));
                found.map(|(path, _)| path.clone())
            };
            let changed = differs(&now, &self.times).or_else(|| differs(&self.times, &now));
            self.times = now;
            if let Some(path) = changed {
                return path;
            }
        }
    }

    fn look(&self) -> HashMap<PathBuf, SystemTime> {
        let mut times = HashMap::new();
        for root in &self.roots {
            look_in(root, &mut times, MAX_DEPTH);
        }
        let imported = self.imported.iter();
        times.extend(imported.filter_map(|path| Some((path.clone(), modified(path)?))));
        times
    }
}

/// The time of the last change of a file, also of one behind links.
fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|data| data.modified()).ok()
}

/// Leaves out what begins with a dot, what packages are installed in, and links.
fn look_in(directory: &Path, times: &mut HashMap<PathBuf, SystemTime>, depth: usize) {
    let is_installed = directory.join("pyvenv.cfg").exists() || directory.ends_with("node_modules");
    if is_installed || depth == 0 || times.len() > MAX_FILES {
        return;
    }
    let Ok(entries) = directory.read_dir() else {
        return;
    };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !is_hidden => look_in(&path, times, depth - 1),
            Ok(kind) if kind.is_file() && path.extension().is_some_and(|it| it == "py") => {
                if let Ok(time) = entry.metadata().and_then(|data| data.modified()) {
                    times.insert(path, time);
                }
            }
            _ => {}
        }
    }
}

const INTERVAL: Duration = Duration::from_millis(300);
const MAX_DEPTH: usize = 16;
const MAX_FILES: usize = 20_000;
