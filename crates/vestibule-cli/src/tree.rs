//! Looks at the files that visitors may get, again and again, and finds what has changed.
//!
//! Every look asks the system for each file: that works on every system, in containers and on network drives, where the
//! system itself reports no changes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use vestibule::files::{Glob, Symlinks};

/// A directory, or one file, and the rules that say which of its files are served.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    dotfiles: bool,
    symlinks: Symlinks,
    precompressed: bool,
    hidden: Vec<Glob>,
    /// A file that is not looked at, by its real path.
    without: Option<PathBuf>,
}

/// The result of one look: each path with its stamp.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    stamps: HashMap<PathBuf, Stamp>,
    /// Whether there are more files than a look may cost.
    pub(crate) is_partial: bool,
}

/// The difference between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Nothing,
    /// Style sheets, and nothing else.
    Styles,
    Files,
}

/// Differs from the stamp of an earlier look when the entry has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stamp {
    /// A regular file, or a link to one.
    File {
        file: Id,
        length: u64,
        modified: Option<SystemTime>,
    },
    /// A directory, or a link to one. Its times are left out: they also change with files that are not served.
    Directory { file: Id },
    /// It cannot be opened: it leads nowhere, or where links may not lead.
    Closed,
}

/// Which file it is, and who may read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Id {
    device: u64,
    inode: u64,
    mode: u32,
    /// The time of the last change of content, owner or mode, which programs cannot set back; only for files.
    changed: (i64, i64),
}

impl Tree {
    /// The files below `root`, or the file `root`.
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            dotfiles: false,
            symlinks: Symlinks::default(),
            precompressed: false,
            hidden: Vec::new(),
            without: None,
        }
    }

    /// Sets whether names with a dot at their start are served. Defaults to `false`, except for `.well-known` in the root.
    pub(crate) fn dotfiles(mut self, enabled: bool) -> Self {
        self.dotfiles = enabled;
        self
    }

    /// Sets which links are followed. Defaults to those that stay below the root.
    pub(crate) fn symlinks(mut self, symlinks: Symlinks) -> Self {
        self.symlinks = symlinks;
        self
    }

    /// Sets whether the compressed copies of a single file are served. Defaults to `false`.
    pub(crate) fn precompressed(mut self, enabled: bool) -> Self {
        self.precompressed = enabled;
        self
    }

    /// Leaves out the files and folders whose names match one of `patterns`, which no visitor gets. Defaults to none.
    pub(crate) fn hide(mut self, patterns: &[String]) -> Self {
        self.hidden = patterns
            .iter()
            .filter_map(|it| Glob::try_new(it).ok())
            .collect();
        self
    }

    /// Leaves out a file that the server itself writes with each request. Defaults to none.
    pub(crate) fn without(mut self, path: Option<&Path>) -> Self {
        self.without = path.and_then(|path| fs::canonicalize(path).ok());
        self
    }

    /// Looks at all files.
    pub(crate) fn look(&self) -> Look {
        self.look_at_most(MAX_ENTRIES)
    }

    /// Looks at the files that are nearest to the root, at most `max` of them.
    fn look_at_most(&self, max: usize) -> Look {
        let mut look = Look::default();
        let root = fs::metadata(&self.root);
        look.stamps.insert(self.root.clone(), stamp(root.as_ref()));
        if !root.is_ok_and(|it| it.is_dir()) {
            if self.precompressed {
                for ending in COPIES {
                    let mut copy = OsString::from(&self.root);
                    copy.push(ending);
                    look.stamps
                        .insert(copy.clone().into(), stamp(fs::metadata(&copy).as_ref()));
                }
            }
            return look;
        }
        // Directories first, and then links to directories, in order: a directory that can be reached in two ways is
        // looked at once, and always by the same path. This also ends circles.
        let mut seen = HashSet::new();
        let mut folders = VecDeque::from([self.root.clone()]);
        let mut linked = Vec::new();
        loop {
            let Some(folder) = folders.pop_front() else {
                linked.sort_unstable_by(|a: &PathBuf, b| b.cmp(a));
                match linked.pop() {
                    Some(folder) => folders.push_back(folder),
                    None => return look,
                }
                continue;
            };
            if !seen.insert(place(&folder)) {
                continue;
            }
            // A folder that is gone by now, or that may not be listed, has no entries.
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let is_root = folder == self.root;
                if !self.is_served(entry.file_name().as_encoded_bytes(), is_root) {
                    continue;
                }
                if look.stamps.len() >= max {
                    look.is_partial = true;
                    return look;
                }
                let path = entry.path();
                if self.is_left_out(&path) {
                    continue;
                }
                let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
                let found = match (is_link, self.symlinks) {
                    (true, Symlinks::Deny) => continue,
                    (true, Symlinks::Beneath) if !self.is_inside(&path) => {
                        look.stamps.insert(path, Stamp::Closed);
                        continue;
                    }
                    _ => stamp(fs::metadata(&path).as_ref()),
                };
                match (&found, is_link) {
                    (Stamp::Directory { .. }, true) => linked.push(path.clone()),
                    (Stamp::Directory { .. }, false) => folders.push_back(path.clone()),
                    _ => {}
                }
                look.stamps.insert(path, found);
            }
        }
    }

    /// Whether a visitor may ask for this name.
    fn is_served(&self, name: &[u8], is_in_root: bool) -> bool {
        self.dotfiles || !name.starts_with(b".") || (is_in_root && name == b".well-known")
    }

    fn is_left_out(&self, path: &Path) -> bool {
        let name = path.strip_prefix(&self.root).unwrap_or(path);
        let name = name.as_os_str().as_encoded_bytes();
        if self.hidden.iter().any(|glob| glob.matches(name)) {
            return true;
        }
        let is_same = |it: &PathBuf| {
            it.file_name() == path.file_name()
                && fs::canonicalize(path).is_ok_and(|path| path == *it)
        };
        self.without.as_ref().is_some_and(is_same)
    }

    /// Whether a link leads to what lies below the root.
    fn is_inside(&self, link: &Path) -> bool {
        match (fs::canonicalize(link), fs::canonicalize(&self.root)) {
            (Ok(target), Ok(root)) => target.starts_with(root),
            _ => false,
        }
    }
}

impl Look {
    /// Returns the change that leads to `new`.
    pub(crate) fn compare(&self, new: &Self) -> Change {
        let (old, new) = (&self.stamps, &new.stamps);
        let paths = old.keys().chain(new.keys());
        let changed: Vec<_> = paths
            .filter(|path| old.get(*path) != new.get(*path))
            .collect();
        // A style sheet that is new or gone may be linked from anywhere.
        let is_in_place = |path: &Path| {
            let is_file = |stamp| matches!(stamp, Some(&Stamp::File { .. }));
            is_style(path) && is_file(old.get(path)) && is_file(new.get(path))
        };
        if changed.is_empty() {
            Change::Nothing
        } else if changed.iter().all(|path| is_in_place(path)) {
            Change::Styles
        } else {
            Change::Files
        }
    }
}

/// Whether a file is a style sheet, or what a build writes with one: its source map and its compressed copies.
fn is_style(path: &Path) -> bool {
    let name = path
        .file_name()
        .unwrap_or_default()
        .as_encoded_bytes()
        .to_ascii_lowercase();
    let endings: [&[u8]; 5] = [b".css", b".css.map", b".css.br", b".css.zst", b".css.gz"];
    endings.iter().any(|ending| name.ends_with(ending))
}

fn stamp(found: Result<&Metadata, &io::Error>) -> Stamp {
    match found {
        Ok(it) if it.is_dir() => Stamp::Directory {
            file: Id {
                changed: (0, 0),
                ..id(it)
            },
        },
        Ok(it) if it.is_file() => Stamp::File {
            file: id(it),
            length: it.len(),
            modified: it.modified().ok(),
        },
        _ => Stamp::Closed,
    }
}

#[cfg(unix)]
fn id(metadata: &Metadata) -> Id {
    use std::os::unix::fs::MetadataExt;
    Id {
        device: metadata.dev(),
        inode: metadata.ino(),
        mode: metadata.mode(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}

#[cfg(not(unix))]
fn id(metadata: &Metadata) -> Id {
    Id {
        mode: u32::from(metadata.permissions().readonly()),
        ..Id::default()
    }
}

/// Identifies a directory: equal for two paths to the same one.
#[cfg(unix)]
fn place(folder: &Path) -> Option<(u64, u64)> {
    let id = id(&fs::metadata(folder).ok()?);
    Some((id.device, id.inode))
}

#[cfg(not(unix))]
fn place(folder: &Path) -> Option<PathBuf> {
    fs::canonicalize(folder).ok()
}

/// The endings of compressed copies.
const COPIES: [&str; 3] = [".br", ".zst", ".gz"];

/// The most entries that are looked at: some 60 MB of memory, and some seconds for each look on a slow disk.
const MAX_ENTRIES: usize = 200_000;

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A directory for one test, with another one beside it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("vestibule-tree-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = fs::remove_dir_all(&path);
            for folder in [
                "root/real/deep",
                "root/.hidden",
                "root/.well-known/acme",
                "outside/deep",
            ] {
                fs::create_dir_all(path.join(folder)).unwrap();
            }
            for file in [
                "root/index.html",
                "root/style.css",
                "root/style.css.map",
                "root/.env",
                "root/.hidden/a.txt",
                "root/.well-known/acme/token",
                "root/real/a.txt",
                "root/real/b.txt",
                "root/real/deep/c.txt",
                "outside/o.txt",
                "outside/deep/o.txt",
            ] {
                fs::write(path.join(file), "old").unwrap();
            }
            symlink("real", path.join("root/inside")).unwrap();
            symlink("real/a.txt", path.join("root/file")).unwrap();
            symlink(path.join("root/real"), path.join("root/absolute")).unwrap();
            symlink("../outside", path.join("root/leaves")).unwrap();
            symlink("../outside/o.txt", path.join("root/leaves.txt")).unwrap();
            symlink("nowhere", path.join("root/broken")).unwrap();
            symlink("..", path.join("root/real/up")).unwrap();
            symlink("circle", path.join("root/circle")).unwrap();
            Self(path)
        }

        fn tree(&self) -> Tree {
            Tree::new(self.0.join("root"))
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.path(name), text).unwrap();
        }

        /// Puts a link to `target` in the place of what is called `name`.
        fn link(&self, target: &str, name: &str) {
            let new = self.path("new-link");
            symlink(target, &new).unwrap();
            fs::rename(new, self.path(name)).unwrap();
        }

        fn mode(&self, name: &str, mode: u32) {
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    type Act = fn(&Scratch);
    type Options = fn(Tree) -> Tree;

    /// Replaces the content and sets the time back, as `cp -p`, `rsync -t` and `touch -r` do.
    fn same_length_and_time(scratch: &Scratch) {
        let path = scratch.path("root/index.html");
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "new").unwrap();
        fs::File::open(&path).unwrap().set_modified(time).unwrap();
    }

    /// Replaces a file by another one of its length and time.
    fn another_file(scratch: &Scratch) {
        let (path, new) = (scratch.path("root/index.html"), scratch.path("root/.new"));
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&new, "new").unwrap();
        fs::File::open(&new).unwrap().set_modified(time).unwrap();
        fs::rename(new, path).unwrap();
    }

    #[test]
    fn each_change_of_what_a_visitor_gets_is_found() {
        use Change::{Files, Nothing, Styles};
        let plain: Options = |tree| tree;
        let all: Options = |tree| tree.dotfiles(true).symlinks(Symlinks::Follow);
        let deny: Options = |tree| tree.symlinks(Symlinks::Deny);
        let cases: Vec<(&str, Options, Act, Change)> = vec![
            ("nothing", plain, |_| {}, Nothing),
            ("nothing, all links", all, |_| {}, Nothing),
            (
                "a file",
                plain,
                |it| it.write("root/index.html", "longer"),
                Files,
            ),
            ("same length and time", plain, same_length_and_time, Files),
            ("another file", plain, another_file, Files),
            (
                "a new file",
                plain,
                |it| it.write("root/real/new", ""),
                Files,
            ),
            (
                "a file is gone",
                plain,
                |it| fs::remove_file(it.path("root/real/b.txt")).unwrap(),
                Files,
            ),
            (
                "a file is renamed",
                plain,
                |it| fs::rename(it.path("root/real/a.txt"), it.path("root/real/z")).unwrap(),
                Files,
            ),
            (
                "an empty folder, for listings",
                plain,
                |it| fs::create_dir(it.path("root/new")).unwrap(),
                Files,
            ),
            (
                "a style sheet",
                plain,
                |it| it.write("root/style.css", "longer"),
                Styles,
            ),
            (
                "its map",
                plain,
                |it| it.write("root/style.css.map", "longer"),
                Styles,
            ),
            (
                "a style sheet is gone",
                plain,
                |it| fs::remove_file(it.path("root/style.css")).unwrap(),
                Files,
            ),
            (
                "a sidecar is made",
                plain,
                |it| it.write("root/index.html.br", "x"),
                Files,
            ),
            (
                "a mode",
                plain,
                |it| it.mode("root/index.html", 0o000),
                Files,
            ),
            (
                "a mode of a folder",
                plain,
                |it| it.mode("root/real", 0o700),
                Files,
            ),
            (
                "below a link",
                plain,
                |it| it.write("root/real/deep/c.txt", "longer"),
                Files,
            ),
            (
                "below a link that leaves",
                plain,
                |it| it.write("outside/deep/o.txt", "longer"),
                Nothing,
            ),
            (
                "below a link that may leave",
                all,
                |it| it.write("outside/deep/o.txt", "longer"),
                Files,
            ),
            (
                "the target of a link that leaves",
                plain,
                |it| it.write("outside/o.txt", "longer"),
                Nothing,
            ),
            (
                "the target of a link that may leave",
                all,
                |it| it.write("outside/o.txt", "longer"),
                Files,
            ),
            (
                "a link to a file is swapped",
                plain,
                |it| it.link("real/b.txt", "root/file"),
                Files,
            ),
            (
                "a link to a folder is swapped",
                plain,
                |it| it.link("real/deep", "root/inside"),
                Files,
            ),
            (
                "a link is swapped for an outer one",
                plain,
                |it| it.link("../outside", "root/inside"),
                Files,
            ),
            (
                "a link is swapped where none is found",
                deny,
                |it| it.link("real/deep", "root/inside"),
                Nothing,
            ),
            (
                "a broken link gets its target",
                plain,
                |it| it.write("root/nowhere", ""),
                Files,
            ),
            (
                "a dot file",
                plain,
                |it| it.write("root/.env", "longer"),
                Nothing,
            ),
            (
                "a dot file that is served",
                all,
                |it| it.write("root/.env", "longer"),
                Files,
            ),
            (
                "below a dot folder",
                plain,
                |it| it.write("root/.hidden/a.txt", "longer"),
                Nothing,
            ),
            (
                "below a dot folder that is served",
                all,
                |it| it.write("root/.hidden/a.txt", "longer"),
                Files,
            ),
            (
                ".well-known",
                plain,
                |it| it.write("root/.well-known/acme/token", "longer"),
                Files,
            ),
            (
                ".well-known that is not in the root",
                plain,
                |it| fs::create_dir(it.path("root/real/.well-known")).unwrap(),
                Nothing,
            ),
            (
                "an editor's swap file",
                plain,
                |it| it.write("root/.index.html.swp", "x"),
                Nothing,
            ),
            (
                "the root is gone",
                plain,
                |it| fs::rename(it.path("root"), it.path("old")).unwrap(),
                Files,
            ),
            (
                "beside the root",
                plain,
                |it| it.write("beside", "x"),
                Nothing,
            ),
        ];
        for (name, options, act, want) in cases {
            let scratch = Scratch::new("table");
            let tree = options(scratch.tree());
            let before = tree.look();
            act(&scratch);
            assert_eq!(before.compare(&tree.look()), want, "{name}");
            scratch.mode("", 0o755);
        }
    }

    #[test]
    fn a_deploy_that_swaps_the_root_is_found() {
        let scratch = Scratch::new("deploy");
        for release in ["1", "2"] {
            fs::create_dir_all(scratch.path("releases").join(release)).unwrap();
            scratch.write(&format!("releases/{release}/index.html"), "same");
        }
        scratch.link("releases/1", "current");
        let tree = Tree::new(scratch.path("current"));
        let before = tree.look();
        scratch.link("releases/2", "current");
        let after = tree.look();
        assert_eq!(before.compare(&after), Change::Files);
        assert_eq!(after.compare(&tree.look()), Change::Nothing);
        // The old release is not served any more.
        scratch.write("releases/1/index.html", "longer");
        assert_eq!(after.compare(&tree.look()), Change::Nothing);
    }

    #[test]
    fn the_log_of_the_server_is_left_out() {
        let scratch = Scratch::new("log");
        let log = scratch.path("root/inside/../real/a.txt");
        let tree = scratch.tree().without(Some(&log));
        let before = tree.look();
        scratch.write("root/real/a.txt", "a line more");
        assert_eq!(
            before.compare(&tree.look()),
            Change::Files,
            "`file` is a link to it"
        );
        fs::remove_file(scratch.path("root/file")).unwrap();
        let before = tree.look();
        scratch.write("root/real/a.txt", "a line more, and another");
        assert_eq!(before.compare(&tree.look()), Change::Nothing);
        scratch.write("root/real/b.txt", "longer");
        assert_eq!(before.compare(&tree.look()), Change::Files);
    }

    #[test]
    fn hidden_files_are_left_out() {
        let scratch = Scratch::new("hidden");
        let hidden = ["*.bak".to_owned(), "/drafts".to_owned()];
        let tree = scratch.tree().hide(&hidden);
        fs::create_dir(scratch.path("root/drafts")).unwrap();
        let before = tree.look();
        scratch.write("root/old.bak", "x");
        scratch.write("root/drafts/old.txt", "x");
        assert_eq!(before.compare(&tree.look()), Change::Nothing);
        scratch.write("root/new.txt", "x");
        assert_eq!(before.compare(&tree.look()), Change::Files);
    }

    #[test]
    fn a_single_file_is_looked_at_alone() {
        let scratch = Scratch::new("single");
        let tree = Tree::new(scratch.path("root/index.html"));
        let before = tree.look();
        scratch.write("root/style.css", "longer");
        scratch.write("root/index.html.br", "x");
        assert_eq!(before.compare(&tree.look()), Change::Nothing);
        let with_copies = tree.clone().precompressed(true);
        let copies = with_copies.look();
        scratch.write("root/index.html.gz", "x");
        assert_eq!(copies.compare(&with_copies.look()), Change::Files);
        scratch.write("root/index.html", "longer");
        assert_eq!(before.compare(&tree.look()), Change::Files);
    }

    #[test]
    fn a_look_has_an_end_and_a_limit() {
        let scratch = Scratch::new("limit");
        let follow = scratch.tree().symlinks(Symlinks::Follow).dotfiles(true);
        let all = follow.look();
        assert!(!all.is_partial);
        // Each directory once, though `up` and the links lead back to it.
        assert!(all.stamps.len() < 40, "{all:?}");
        let mut deep = scratch.path("root");
        for _ in 0..200 {
            deep.push("deeper");
        }
        fs::create_dir_all(&deep).unwrap();
        let some = follow.look_at_most(50);
        assert!(some.is_partial && some.stamps.len() == 50);
        assert!(
            some.stamps
                .contains_key(&scratch.path("root/real/deep/c.txt")),
            "shallow files come first"
        );
    }
}
