//! Files that are known beforehand.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use vestibule_core::{App, Mount, Outline, PathView, Request, Response};

use crate::coding::{self, Coding, ZSTD_HEAD, is_zstd_for_the_web};
use crate::directory::Directory;
use crate::hash::hash;
use crate::mime::is_compressible;
use crate::name::{Name, WELL_KNOWN};
use crate::redirect;
use crate::respond::{self, Asked, Representation, respond};
use crate::source::{Content, Entry, Made, Source, Stored, Wait};
use crate::static_files::{StaticFiles, is_fresh, without_bytes};

/// The files of a [`StaticFiles`] that were looked at once: each request is one look-up, and no file system is asked for
/// what is in memory.
///
/// Made by [`StaticFiles::indexed`]; all that was said there holds here. For trees that do not change, or change by
/// deployments: what was added since is found by the slower way of `StaticFiles`, what was changed is sent as it is when
/// it is not in memory, and what is in memory is sent as it was until [`reload`](Self::reload).
///
/// Files in memory have entity tags that are hashes of their content, so that they are the same on all servers and need
/// no dates. Each file costs about half a kilobyte.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// use vestibule_core::{App, Request};
/// use vestibule_static::StaticFiles;
///
/// let app = StaticFiles::new(env!("CARGO_MANIFEST_DIR")).indexed(16 << 20)?;
/// let mut request = Request::default();
/// *request.uri_mut() = "/README.md".parse().unwrap();
/// assert_eq!(app.call(request).await.status(), 200);
/// # Ok(())
/// # }
/// ```
pub struct IndexedFiles<S = Directory> {
    files: StaticFiles<S>,
    memory: u64,
    index: Arc<RwLock<Arc<Index>>>,
}

/// What stands at each path, which begins with a slash and is decoded.
#[derive(Debug, Default)]
struct Index {
    places: HashMap<Box<[u8]>, Target>,
    files: usize,
    /// Bytes of files that are held.
    held: u64,
}

#[derive(Clone, Debug)]
enum Target {
    File(Arc<Prepared>),
    /// The path with a slash at its end.
    Slash,
}

/// A file with all that is sent with it.
#[derive(Debug)]
struct Prepared {
    content_type: HeaderValue,
    cache_control: Option<HeaderValue>,
    extra: Vec<(HeaderName, HeaderValue)>,
    varies: bool,
    itself: Variant,
    sidecars: Vec<(Coding, Variant)>,
}

/// The bytes of a file or of its sidecar.
#[derive(Debug)]
struct Variant {
    name: Box<[u8]>,
    /// The bytes if they are held, and none if they are to be opened.
    held: Option<Bytes>,
    length: u64,
    modified: Option<vestibule_fields::date::HttpDate>,
    tag: Option<HeaderValue>,
    coding: Option<Coding>,
    made: Option<Arc<Made>>,
}

impl<S: Source> StaticFiles<S> {
    /// Looks at all files now, so that requests need not. Files up to 1 MiB are held in memory, up to `memory` bytes in
    /// all, small ones first. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// When the root cannot be read. What cannot be read below it is left out.
    pub fn indexed(self, memory: u64) -> io::Result<IndexedFiles<S>> {
        let index = Index::scan(&self, memory)?;
        Ok(IndexedFiles {
            files: self,
            memory,
            index: Arc::new(RwLock::new(Arc::new(index))),
        })
    }
}

impl<S: Source> IndexedFiles<S> {
    /// Looks at all files again. Requests are answered from the old index until the new one is whole. Blocks while it
    /// reads: call it from a thread that may.
    ///
    /// # Errors
    ///
    /// When the root cannot be read; the old index stays.
    pub fn reload(&self) -> io::Result<()> {
        let index = Arc::new(Index::scan(&self.files, self.memory)?);
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        Ok(())
    }

    /// How many files are known, sidecars among them.
    #[must_use]
    pub fn files(&self) -> usize {
        self.index().files
    }

    /// How many bytes of files are held in memory.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.index().held
    }

    fn index(&self) -> Arc<Index> {
        self.index
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The answer if the index has one that is still right.
    fn answer(&self, request: &Request) -> io::Result<Option<Response>> {
        let rest = Mount::rest_of(request);
        let index = self.index();
        let found = match rest.contains('%') {
            // What the index has cannot be unsound.
            false => index.places.get(rest.as_bytes()),
            true => decoded(rest).and_then(|path| index.places.get(&*path)),
        };
        let Some(target) = found else {
            return Ok(None);
        };
        let file = match target {
            Target::Slash => return Ok(redirect::with_slash(request.uri()).map(respond::redirect)),
            Target::File(_) if self.files.files.options.hand_over.is_some() => return Ok(None),
            Target::File(file) => file,
        };
        let asked = Asked {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            now: SystemTime::now().into(),
            wait: Wait::Never,
        };
        let (coding, variant) = file.choose(&asked);
        let Some(stored) = variant.open(&self.files.files.source)? else {
            return Ok(None);
        };
        let representation = Representation {
            stored,
            status: StatusCode::OK,
            content_type: file.content_type.clone(),
            encoding: coding.map(Coding::token),
            varies_by_coding: file.varies,
            varies_by_type: false,
            cache_control: file.cache_control.clone(),
            extra: file.extra.clone(),
        };
        respond(&asked, representation).map(Some)
    }
}

impl<S: Source> App for IndexedFiles<S> {
    async fn call(&self, request: Request) -> Response {
        let is_head = request.method() == Method::HEAD;
        if is_head || request.method() == Method::GET {
            match self.answer(&request) {
                Ok(Some(response)) if is_head => return without_bytes(response),
                Ok(Some(response)) => return response,
                // It is not known, it changed, or the disk has to be waited for.
                Ok(None) | Err(_) => {}
            }
        }
        self.files.call(request).await
    }

    fn describe(&self, outline: &mut Outline) {
        self.files.describe(outline);
        let index = self.index();
        outline
            .option("files", index.files)
            .option("held_bytes", index.held);
    }
}

impl Prepared {
    /// The best variant for a client.
    fn choose(&self, asked: &Asked<'_>) -> (Option<Coding>, &Variant) {
        if !self.sidecars.is_empty() {
            for wanted in coding::wanted(asked.headers) {
                let found = self.sidecars.iter().find(|(coding, _)| *coding == wanted);
                if let Some((coding, variant)) = found {
                    return (Some(*coding), variant);
                }
            }
        }
        (None, &self.itself)
    }
}

impl Variant {
    /// The bytes, if they are what they were.
    fn open<S: Source>(&self, source: &S) -> io::Result<Option<Stored>> {
        if let Some(bytes) = &self.held {
            return Ok(Some(Stored {
                content: Content::Memory(bytes.clone()),
                length: self.length,
                modified: self.modified,
                tag: self.tag.clone(),
                made: self.made.clone(),
            }));
        }
        // Whatever is wrong with it, the slower way will say.
        let Ok(Entry::File(stored)) = source.open(&self.name, Wait::Never) else {
            return Ok(None);
        };
        let mut stored = stored;
        if let Some(coding) = self.coding {
            stored.tag_coding(coding.token());
        }
        let is_same = (stored.length, stored.modified) == (self.length, self.modified);
        stored.made = stored.made.or_else(|| self.made.clone());
        Ok((is_same && stored.tag == self.tag).then_some(stored))
    }
}

impl Index {
    fn scan<S: Source>(files: &StaticFiles<S>, memory: u64) -> io::Result<Self> {
        let (source, options) = (&files.files.source, &files.files.options);
        let mut index = Self::default();
        // With each folder goes whether a link leads to it: below one, no further link is followed, since one that leads
        // upwards would have no end.
        let mut folders = vec![(Vec::new(), false)];
        let mut known = Vec::new();
        while let Some((folder, is_linked)) = folders.pop() {
            let entries = match source.list(&folder) {
                Ok(entries) => entries,
                Err(error) if folder.is_empty() => return Err(error),
                Err(_) => continue,
            };
            for entry in entries {
                let is_well_known = folder.is_empty() && entry.name == WELL_KNOWN;
                if !is_well_known && !Name::allows(&entry.name, options.dotfiles) {
                    continue;
                }
                let name = match &*folder {
                    b"" => entry.name,
                    _ => [&*folder, &*entry.name].join(&b'/'),
                };
                match entry.is_directory {
                    true if is_linked && entry.is_link => {}
                    true => folders.push((name, is_linked || entry.is_link)),
                    false => known.push((entry.length, name)),
                }
            }
            if options.listing {
                index
                    .places
                    .insert([b"/", &*folder].concat().into(), Target::Slash);
            }
        }
        // The root is there with its slash.
        index.places.remove(&b"/"[..]);
        index.files = known.len();
        known.sort_unstable();
        for (_, name) in &known {
            if let Some(file) = index.prepare(files, name, memory) {
                index.place(files, name, &Arc::new(file));
            }
        }
        Ok(index)
    }

    /// Puts a file where it is found: under its name, and where it stands for its directory or its clean name.
    fn place<S: Source>(&mut self, files: &StaticFiles<S>, name: &[u8], file: &Arc<Prepared>) {
        let options = &files.files.options;
        let (folder, own) = match name.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => name.split_at(slash + 1),
            None => (&b""[..], name),
        };
        let root = [b"/", folder].concat();
        let rank = options
            .index
            .iter()
            .position(|index| index.as_bytes() == own);
        let is_better = match self.places.get(&*root) {
            Some(Target::File(now)) => {
                let now = now.itself.name.rsplit(|&byte| byte == b'/').next();
                let now = options
                    .index
                    .iter()
                    .position(|index| Some(index.as_bytes()) == now);
                rank.is_some() && (now.is_none() || rank < now)
            }
            _ => rank.is_some(),
        };
        if is_better {
            self.places
                .insert(root[..root.len() - 1].into(), Target::Slash);
            self.places.insert(root.into(), Target::File(file.clone()));
        }
        self.places
            .insert([b"/", name].concat().into(), Target::File(file.clone()));
        if let Some(clean) = name.strip_suffix(b".html").filter(|_| options.clean_urls) {
            if let Place::Vacant(place) = self.places.entry([b"/", clean].concat().into()) {
                place.insert(Target::File(file.clone()));
            }
        }
    }

    /// Opens a file and its sidecars, and makes what is sent with them.
    fn prepare<S: Source>(
        &mut self,
        files: &StaticFiles<S>,
        name: &[u8],
        memory: u64,
    ) -> Option<Prepared> {
        let (source, options) = (&files.files.source, &files.files.options);
        let Ok(Entry::File(stored)) = source.open(name, Wait::Allowed) else {
            return None;
        };
        let content_type = options.content_type(name);
        let varies = options.precompressed && content_type.to_str().is_ok_and(is_compressible);
        let mut sidecars = Vec::new();
        for coding in Coding::ALL.into_iter().filter(|_| varies) {
            let name = [name, coding.suffix().as_bytes()].concat();
            let Ok(Entry::File(sidecar)) = source.open(&name, Wait::Allowed) else {
                continue;
            };
            let is_readable = coding != Coding::Zstd
                || sidecar
                    .head(ZSTD_HEAD, Wait::Allowed)
                    .is_ok_and(|head| is_zstd_for_the_web(&head));
            if is_fresh(&sidecar, &stored) && is_readable {
                sidecars.push((coding, self.hold(sidecar, &name, Some(coding), memory)));
            }
        }
        Some(Prepared {
            content_type,
            cache_control: options.cache_control(name),
            extra: options.headers(name),
            varies,
            itself: self.hold(stored, name, None, memory),
            sidecars,
        })
    }

    /// Makes the headers of a file, and reads it if there is room.
    fn hold(
        &mut self,
        mut stored: Stored,
        name: &[u8],
        coding: Option<Coding>,
        memory: u64,
    ) -> Variant {
        let is_small = stored.length <= SMALL && self.held.saturating_add(stored.length) <= memory;
        let held = match is_small {
            true => usize::try_from(stored.length)
                .ok()
                .and_then(|size| stored.head(size, Wait::Allowed).ok())
                // What is read into has room to spare, which is not to be held.
                .map(|bytes| Bytes::copy_from_slice(&bytes)),
            false => None,
        };
        if let Some(bytes) = &held {
            self.held += stored.length;
            stored = stored.tag(&hash(bytes));
        }
        if let Some(coding) = coding {
            stored.tag_coding(coding.token());
        }
        stored.make(None);
        let Stored {
            length,
            modified,
            tag,
            made,
            ..
        } = stored;
        Variant {
            name: name.into(),
            held,
            length,
            modified,
            made,
            tag,
            coding,
        }
    }
}

/// The path without its escapes; `None` when no file can be meant.
fn decoded(raw: &str) -> Option<Vec<u8>> {
    let view = PathView::parse(raw).ok()?;
    let name = Name::of(&view, true)?;
    let slash: &[u8] = if view.has_trailing_slash() { b"/" } else { b"" };
    Some([b"/", name.as_bytes(), slash].concat())
}

impl<S> Clone for IndexedFiles<S> {
    /// A clone shares its index, and reloads with it.
    fn clone(&self) -> Self {
        Self {
            files: self.files.clone(),
            memory: self.memory,
            index: self.index.clone(),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for IndexedFiles<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexedFiles")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// What may be held at all, in bytes. What is sent from memory is copied once, what is sent from a file twice.
const SMALL: u64 = 1024 * 1024;
