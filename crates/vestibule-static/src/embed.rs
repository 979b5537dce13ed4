//! Writes the code that builds a folder into the program.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::coding::Coding;
use crate::file_kind::{SNIFFED, shrinks};
use crate::hash::hash;
use crate::name::{Name, WELL_KNOWN};
use crate::precompress::{encode, is_worth_it};

/// Builds the files below a folder into the program, from its build script: names, hashes of the content as entity tags,
/// and each file that shrinks also in brotli, zstd and gzip.
///
/// What it writes is an expression, an [`Embedded`](crate::Embedded). In `build.rs`, with the features `embed` among the
/// build dependencies:
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// vestibule_static::Embed::new("public").write("public.rs")
/// # }
/// ```
///
/// And in the program:
///
/// ```text
/// static PUBLIC: vestibule_static::Embedded = include!(concat!(env!("OUT_DIR"), "/public.rs"));
///
/// let app = StaticFiles::from_source(PUBLIC).precompressed(true);
/// ```
///
/// Dot files are left out, but for `/.well-known/`. The build script runs again when something below the folder changes.
#[derive(Clone, Debug)]
pub struct Embed {
    root: PathBuf,
    compresses: bool,
}

impl Embed {
    /// For the files below `root`, which is relative to the package.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            compresses: true,
        }
    }

    /// Says whether files are also built in compressed, which takes time and room; they are if it is not said.
    #[must_use]
    pub const fn compressed(mut self, are_made: bool) -> Self {
        self.compresses = are_made;
        self
    }

    /// Writes the file `name` to the folder that Cargo sets aside for build scripts (`OUT_DIR`), and tells Cargo what it
    /// depends on.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written, has a name that is not UTF-8, or when Cargo does not run this.
    pub fn write(&self, name: &str) -> io::Result<()> {
        let out = std::env::var_os("OUT_DIR")
            .ok_or_else(|| io::Error::other("OUT_DIR is not set: this is for build scripts"))?;
        self.write_to(Path::new(&out), name)?;
        println!("cargo::rerun-if-changed={}", self.root.display());
        Ok(())
    }

    /// Writes the file `name` to another folder, for what builds without Cargo.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written, or has a name that is not UTF-8.
    pub fn write_to(&self, folder: &Path, name: &str) -> io::Result<()> {
        fs::write(folder.join(name), self.code(&folder.canonicalize()?)?)
    }

    /// The expression; compressed files are written to `out`.
    fn code(&self, out: &Path) -> io::Result<String> {
        let mut files = BTreeMap::new();
        self.find(&self.root.canonicalize()?, String::new(), out, &mut files)?;
        let mut code = String::from("::vestibule_static::Embedded::new(&[\n");
        for (name, (path, tag)) in files {
            let line = writeln!(
                code,
                "    ::vestibule_static::EmbeddedFile {{ name: {name:?}, bytes: include_bytes!({path:?}), tag: {tag:?} }},"
            );
            line.expect("a string takes what is written to it");
        }
        code.push_str("])\n");
        Ok(code)
    }

    /// The files below a folder: name, then path and tag.
    fn find(
        &self,
        folder: &Path,
        prefix: String,
        out: &Path,
        files: &mut BTreeMap<String, (PathBuf, String)>,
    ) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let own = entry.file_name().into_string().map_err(|name| {
                io::Error::new(io::ErrorKind::InvalidData, format!("{name:?} is not UTF-8"))
            })?;
            let is_well_known = prefix.is_empty() && own.as_bytes() == WELL_KNOWN;
            if !is_well_known && !Name::allows(own.as_bytes(), false) {
                continue;
            }
            let (path, name) = (entry.path(), format!("{prefix}{own}"));
            // Through links, as a server follows them.
            if fs::metadata(&path)?.is_dir() {
                self.find(&path, format!("{name}/"), out, files)?;
                continue;
            }
            let bytes = fs::read(&path)?;
            let tag = hash(&bytes);
            let head = || Ok(bytes[..bytes.len().min(SNIFFED)].to_vec());
            if self.compresses && shrinks(name.as_bytes(), bytes.len() as u64, head)? {
                for coding in Coding::ALL {
                    let sidecar = out.join(format!("{tag}{}", coding.suffix()));
                    let encoded = match fs::read(&sidecar) {
                        // It is called by what it was made of.
                        Ok(encoded) => encoded,
                        Err(_) => encode(coding, &bytes)?,
                    };
                    if is_worth_it(coding, &bytes, &encoded) {
                        fs::write(&sidecar, &encoded)?;
                        let name = format!("{name}{}", coding.suffix());
                        files.entry(name).or_insert((sidecar, hash(&encoded)));
                    }
                }
            }
            files.insert(name, (path, tag));
        }
        Ok(())
    }
}
