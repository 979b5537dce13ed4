//! Generates the code that builds a folder into the program.

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

/// Builds the files below a folder into the program, from its build script.
///
/// Each file has a hash of its content as entity tag. Files of compressible types are also stored
/// in brotli, zstd and gzip.
///
/// The generated code is an expression of type [`Embedded`](crate::Embedded). In `build.rs`, with
/// the feature `embed` enabled for the build dependency:
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
/// Dot files are left out, except those below `/.well-known/`. The build script runs again when a
/// file below the folder changes.
#[derive(Clone, Debug)]
pub struct Embed {
    root: PathBuf,
    compresses: bool,
}

impl Embed {
    /// Embeds the files below `root`, a path relative to the package.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            compresses: true,
        }
    }

    /// Sets whether compressed forms are built in as well, which costs build time and program size.
    /// Defaults to `true`.
    #[must_use]
    pub const fn compressed(mut self, are_made: bool) -> Self {
        self.compresses = are_made;
        self
    }

    /// Writes the code to the file `name` in the folder of build scripts (`OUT_DIR`), and tells
    /// Cargo the files that it depends on.
    ///
    /// # Errors
    ///
    /// Fails when a file cannot be read or written, when a name is not UTF-8, or when Cargo does
    /// not run this.
    pub fn write(&self, name: &str) -> io::Result<()> {
        let out = std::env::var_os("OUT_DIR")
            .ok_or_else(|| io::Error::other("OUT_DIR is not set: this is for build scripts"))?;
        self.write_to(Path::new(&out), name)?;
        println!("cargo::rerun-if-changed={}", self.root.display());
        Ok(())
    }

    /// Writes the code to the file `name` in another folder, for builds without Cargo.
    ///
    /// # Errors
    ///
    /// Fails when a file cannot be read or written, or when a name is not UTF-8.
    pub fn write_to(&self, folder: &Path, name: &str) -> io::Result<()> {
        fs::write(folder.join(name), self.code(&folder.canonicalize()?)?)
    }

    /// Returns the expression, and writes compressed files to `out`.
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

    /// Collects the files below a folder: name, then path and tag.
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
            // Follows links, as a server does.
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
                        // The file name is the hash of the content.
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
