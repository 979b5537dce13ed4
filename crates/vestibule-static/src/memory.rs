//! Files whose bytes are in memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use vestibule_core::Outline;

use crate::source::{Entry, Listed, Source, Stored, Wait};

/// Files in memory, by name.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, Request};
/// use vestibule_static::{Memory, StaticFiles, Stored};
///
/// let app = StaticFiles::from_source(Memory::new().with("index.html", Stored::memory("<p>hello").tag("v1")));
/// let response = app.call(Request::default()).await;
/// assert_eq!(response.headers()["etag"], "\"v1\"");
/// assert_eq!(response.into_body().collect(99).await.unwrap(), "<p>hello");
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Memory {
    files: Arc<BTreeMap<Vec<u8>, Stored>>,
}

impl Memory {
    /// Creates a source without files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, or replaces the one with the same name. Slashes in `name` create directories;
    /// slashes at its ends are ignored.
    #[must_use]
    pub fn with(mut self, name: &str, file: Stored) -> Self {
        let name = name.trim_matches('/').as_bytes().to_vec();
        Arc::make_mut(&mut self.files).insert(name, file);
        self
    }

    /// Iterates over the files below the directory `name`: the rest of each name, and the file.
    fn below(&self, name: &[u8]) -> impl Iterator<Item = (&[u8], &Stored)> {
        let prefix = match name {
            b"" => Vec::new(),
            _ => [name, b"/"].concat(),
        };
        self.files
            .range(prefix.clone()..)
            .map_while(move |(name, file)| Some((name.strip_prefix(&*prefix)?, file)))
    }
}

impl Source for Memory {
    fn open(&self, name: &[u8], _: Wait) -> io::Result<Entry> {
        match self.files.get(name) {
            Some(file) => Ok(Entry::File(file.clone())),
            None if name.is_empty() || self.below(name).next().is_some() => Ok(Entry::Directory),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn list(&self, name: &[u8]) -> io::Result<Vec<Listed>> {
        let mut found: Vec<Listed> = Vec::new();
        for (name, file) in self.below(name) {
            let slash = name.iter().position(|&byte| byte == b'/');
            let own = &name[..slash.unwrap_or(name.len())];
            // The files of one directory are adjacent in the map.
            if found
                .last()
                .is_some_and(|last| last.is_directory && last.name == own)
            {
                continue;
            }
            found.push(Listed {
                name: own.to_vec(),
                is_directory: slash.is_some(),
                is_link: false,
                length: if slash.is_some() { 0 } else { file.length },
                modified: file.modified.filter(|_| slash.is_none()),
            });
        }
        Ok(found)
    }

    fn describe(&self, outline: &mut Outline) {
        outline.option("files in memory", self.files.len());
    }
}
