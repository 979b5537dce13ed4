//! Files with an index in memory.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use bytes::Bytes;
use hashbrown::HashTable;
use http::{HeaderValue, Method, StatusCode};
use vestibule_core::{App, Mount, Outline, PathView, Request, Response, UnknownPrefix};
use vestibule_fields::date::HttpDate;

use crate::coding::{self, Coding, ZSTD_HEAD, is_zstd_for_the_web};
use crate::directory::Directory;
use crate::file_kind::{FileKind, StoredCoding};
use crate::hash::hash;
use crate::header_rules;
use crate::name::{Name, WELL_KNOWN};
use crate::redirect;
use crate::respond::{self, Representation, RequestParts, respond};
use crate::sidecar_rights::{file_of, is_refused};
use crate::source::{Content, Entry, Made, Source, Stored, Wait};
use crate::static_files::{StaticFiles, is_fresh, without_bytes};

/// The files of a [`StaticFiles`] with an index: each request needs one look-up, and files in
/// memory need no access to the file system.
///
/// Created by [`StaticFiles::indexed`]; all its options apply. It is for trees that do not change,
/// or change only by deployments. Files added later are found on the slower path of `StaticFiles`.
/// A changed file that is not in memory is sent in its new state. Files in memory are sent in their
/// old state until [`reload`](Self::reload).
///
/// The entity tag of a file in memory is a hash of its content, so it is the same on all servers
/// and needs no date. The index takes about 200 bytes and the path for each file.
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

/// The file or redirect at each path, which begins with a slash and is decoded.
#[derive(Debug, Default)]
struct Index {
    files: Vec<Indexed>,
    /// The index into `files`, by the hash of the path.
    by_path: HashTable<u32>,
    hasher: RandomState,
    /// Paths that are not the own path of a file: folders and clean names.
    others: HashMap<Box<[u8]>, Target>,
    /// The number of files, including sidecars.
    count: usize,
    /// The number of content bytes in memory.
    held: u64,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    File(u32),
    /// The path with a slash at its end is a file.
    Slash,
    /// The path with a slash at its end is a listing.
    Listing,
}

/// A file with its prepared responses.
#[derive(Debug)]
struct Indexed {
    itself: Variant,
    sidecars: Box<[(Coding, Variant)]>,
    kind: Arc<Kind>,
}

/// The headers that files of one kind share.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Kind {
    content_type: HeaderValue,
    stored_coding: Option<StoredCoding>,
    cache_control: Option<HeaderValue>,
    varies: bool,
}

/// The bytes of a file or of its sidecar and its header values, in one allocation.
#[derive(Debug)]
struct Variant {
    /// The content if it is in memory, the entity tag, the date, the length, and the path.
    block: Bytes,
    /// The end offset of each part in the block, except the last.
    ends: [u32; 4],
    is_held: bool,
    length: u64,
    modified: Option<HttpDate>,
}

impl<S: Source> StaticFiles<S> {
    /// Indexes all files now, so that requests do not search for them. Files up to 1 MiB are read
    /// into memory, up to `memory` bytes in total, small ones first. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// Fails when the root cannot be read. Entries below it that cannot be read are left out.
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
    /// Builds the index again. Requests use the old index until the new one is complete. Blocks
    /// while it reads: call it on a thread that may block.
    ///
    /// # Errors
    ///
    /// Fails when the root cannot be read; the old index stays.
    pub fn reload(&self) -> io::Result<()> {
        let index = Arc::new(Index::scan(&self.files, self.memory)?);
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        Ok(())
    }

    /// Returns the number of files in the index, including sidecars.
    #[must_use]
    pub fn files(&self) -> usize {
        self.index().count
    }

    /// Returns the number of content bytes in memory.
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

    /// Returns the response if the index has a current one.
    fn answer(&self, request: &Request) -> io::Result<Option<Response>> {
        let rest = Mount::rest_of(request);
        let index = self.index();
        let options = &self.files.files.options;
        // These rules take precedence over files.
        if options.redirects.iter().any(|rule| rule.is_forced) {
            return Ok(None);
        }
        // All paths in the index are safe, so a match needs no check.
        let path = match rest.contains('%') {
            false => Some(Cow::Borrowed(rest.as_bytes())),
            true => decoded(rest).map(Cow::Owned),
        };
        let Some(path) = path else {
            return Ok(None);
        };
        let with_rules = |mut response: Response, name: Option<&[u8]>| {
            let path = path.strip_prefix(b"/").unwrap_or(&path);
            header_rules::apply(&options.headers, &mut response, Some(path), name);
            response
        };
        let file = match index.get(&path) {
            None => return Ok(None),
            Some(Target::Slash | Target::Listing) => {
                let is_whole = UnknownPrefix::of(request).is_none();
                let location = redirect::with_slash(request.uri(), is_whole);
                let response = location.map(respond::redirect);
                return Ok(response.map(|response| with_rules(response, None)));
            }
            Some(Target::File(_)) if options.hand_over.is_some() => return Ok(None),
            Some(Target::File(number)) => &index.files[number as usize],
        };
        let asked = RequestParts {
            method: request.method(),
            uri: request.uri(),
            is_whole_path: UnknownPrefix::of(request).is_none(),
            headers: request.headers(),
            now: SystemTime::now().into(),
            wait: Wait::Never,
        };
        let (coding, variant) = file.choose(&asked);
        // A file that is not in memory is sent in its current state. So its sidecar is sent only if
        // the file has not changed.
        let needs_file = coding.is_some() && !variant.is_held && !file.itself.is_held;
        if needs_file && file.itself.open(&self.files.files.source, None).is_none() {
            return Ok(None);
        }
        let Some(stored) = variant.open(&self.files.files.source, coding) else {
            return Ok(None);
        };
        let mut representation = Representation {
            stored,
            made: Some(variant.made()),
            status: StatusCode::OK,
            content_type: file.kind.content_type.clone(),
            encoding: coding.map(Coding::token),
            varies_by_coding: file.kind.varies,
            varies_by_type: false,
            cache_control: file.kind.cache_control.clone(),
        };
        if let Some(coding) = &file.kind.stored_coding {
            coding.apply(&asked, &mut representation);
        }
        let response = respond(&asked, representation)?;
        // An error may have a page, which is read from the disk.
        if options.error_page(response.status()).is_some() {
            return Ok(None);
        }
        let name = &file.itself.path()[1..];
        Ok(Some(with_rules(response, Some(name))))
    }
}

impl<S: Source> App for IndexedFiles<S> {
    async fn call(&self, request: Request) -> Response {
        let is_head = request.method() == Method::HEAD;
        if is_head || request.method() == Method::GET {
            match self.answer(&request) {
                Ok(Some(response)) if is_head => return without_bytes(response),
                Ok(Some(response)) => return response,
                // The file is unknown or has changed, or the disk would wait.
                Ok(None) | Err(_) => {}
            }
        }
        self.files.call(request).await
    }

    fn describe(&self, outline: &mut Outline) {
        self.files.describe(outline);
        let index = self.index();
        outline
            .option("files", index.count)
            .option("held_bytes", index.held);
    }
}

impl Indexed {
    /// Returns the best variant for a client.
    fn choose(&self, asked: &RequestParts<'_>) -> (Option<Coding>, &Variant) {
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
    /// Prepares the header values, and reads the file if it is to be in memory.
    fn new(mut stored: Stored, name: &[u8], coding: Option<Coding>, is_held: bool) -> Self {
        let content = match usize::try_from(stored.length) {
            Ok(size) if is_held => stored.head(size, Wait::Allowed).ok(),
            _ => None,
        };
        if let Some(content) = &content {
            stored = stored.tag(&hash(content));
        }
        if let Some(coding) = coding {
            stored.tag_coding(coding.token());
        }
        let date = stored.modified.map(HttpDate::to_bytes);
        let length = stored.length.to_string();
        let parts = [
            content.as_deref().unwrap_or_default(),
            // A file that is not in memory has the tag of the file that is opened.
            match (&content, &stored.tag) {
                (Some(_), Some(tag)) => tag.as_bytes(),
                _ => b"",
            },
            date.as_ref().map_or(b"", |date| date),
            length.as_bytes(),
            b"/",
            name,
        ];
        // The exact capacity, since the block stays in memory.
        let mut block = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        let mut ends = [0; 4];
        for (number, part) in parts.iter().enumerate() {
            block.extend_from_slice(part);
            if let (Some(end), Ok(length)) = (ends.get_mut(number), block.len().try_into()) {
                *end = length;
            }
        }
        Self {
            block: block.into(),
            ends,
            is_held: content.is_some(),
            length: stored.length,
            modified: stored.modified,
        }
    }

    /// Returns the path, which begins with a slash.
    fn path(&self) -> &[u8] {
        &self.block[self.ends[3] as usize..]
    }

    /// Returns a part of the block as a header value; `None` if it is empty.
    fn value(&self, part: Part) -> Option<HeaderValue> {
        let [start, end] = [part as usize - 1, part as usize].map(|at| self.ends[at] as usize);
        let bytes = self.block.slice(start..end);
        HeaderValue::from_maybe_shared(bytes)
            .ok()
            .filter(|value| !value.is_empty())
    }

    fn made(&self) -> Made {
        Made {
            modified: self.value(Part::Date),
            length: self
                .value(Part::Length)
                .unwrap_or_else(|| self.length.into()),
            bytes: None,
        }
    }

    /// Opens the file; `None` if it has changed.
    fn open<S: Source>(&self, source: &S, coding: Option<Coding>) -> Option<Stored> {
        if self.is_held {
            return Some(Stored {
                content: Content::Memory(self.block.slice(..self.ends[0] as usize)),
                length: self.length,
                modified: self.modified,
                tag: self.value(Part::Tag),
                made: None,
            });
        }
        // The slower path reports the error.
        let Ok(Entry::File(mut stored)) = source.open(&self.path()[1..], Wait::Never) else {
            return None;
        };
        if let Some(coding) = coding {
            stored.tag_coding(coding.token());
        }
        // The tag may differ: a file that was indexed when it was new has a tag that covers its
        // inode.
        let is_same = (stored.length, stored.modified) == (self.length, self.modified);
        is_same.then_some(stored)
    }
}

/// The parts of a block that are header values, by their index.
#[derive(Clone, Copy)]
enum Part {
    Tag = 1,
    Date = 2,
    Length = 3,
}

impl Index {
    /// Returns the target at `path`.
    fn get(&self, path: &[u8]) -> Option<Target> {
        let is_it = |number: &u32| self.files[*number as usize].itself.path() == path;
        match self.by_path.find(self.hasher.hash_one(path), is_it) {
            Some(number) => Some(Target::File(*number)),
            None => self.others.get(path).copied(),
        }
    }

    fn scan<S: Source>(files: &StaticFiles<S>, memory: u64) -> io::Result<Self> {
        let (source, options) = (&files.files.source, &files.files.options);
        let mut index = Self::default();
        // Each folder has a flag: whether a link leads to it. Below such a folder no further link
        // is followed, since a link to a parent would be endless.
        let mut folders = vec![(Vec::new(), false)];
        // The length of each file, and the offset of its name in one buffer. A separate allocation
        // for each name would need twice the memory.
        let (mut known, mut names) = (Vec::new(), Vec::new());
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
                let start = names.len();
                names.extend_from_slice(&folder);
                names.extend_from_slice(if folder.is_empty() { b"" } else { b"/" });
                names.extend_from_slice(&entry.name);
                if options.hides(&names[start..]) {
                    names.truncate(start);
                    continue;
                }
                match entry.is_directory {
                    true => {
                        let name = names.split_off(start);
                        if !(is_linked && entry.is_link) {
                            folders.push((name, is_linked || entry.is_link));
                        }
                    }
                    false => known.push((entry.length, start..names.len())),
                }
            }
            if options.listing {
                let path = [b"/", &*folder].concat();
                index.others.insert(path.into(), Target::Listing);
            }
        }
        // The path of the root always has its slash.
        index.others.remove(&b"/"[..]);
        index.count = known.len();
        index.files.reserve_exact(known.len());
        // Small files are read first, and files of equal size in the order of their names.
        known.sort_unstable_by(|(a, a_name), (b, b_name)| {
            let (a_name, b_name) = (&names[a_name.clone()], &names[b_name.clone()]);
            a.cmp(b).then_with(|| a_name.cmp(b_name))
        });
        let mut kinds = HashSet::new();
        for (_, name) in known {
            index.add(files, &names[name], memory, &mut kinds);
        }
        index.look_up_by_path();
        Ok(index)
    }

    /// Builds the table of the paths of all files.
    fn look_up_by_path(&mut self) {
        let path_of = |number: &u32| self.files[*number as usize].itself.path();
        let hash = |number: &u32| self.hasher.hash_one(path_of(number));
        self.by_path.reserve(self.files.len(), hash);
        for (number, _) in (0..).zip(&self.files) {
            self.by_path.insert_unique(hash(&number), number, hash);
        }
    }

    /// Opens a file and its sidecars, prepares its responses, and adds it to the index.
    fn add<S: Source>(
        &mut self,
        files: &StaticFiles<S>,
        name: &[u8],
        memory: u64,
        kinds: &mut HashSet<Arc<Kind>>,
    ) {
        let (source, options) = (&files.files.source, &files.files.options);
        let (Ok(Entry::File(stored)), Ok(number)) = (
            source.open(name, Wait::Allowed),
            u32::try_from(self.files.len()),
        ) else {
            return;
        };
        // The slower path checks whether the file of a sidecar may be read.
        let is_sidecar = file_of(name).is_some();
        if is_sidecar && !matches!(is_refused(source, name, Wait::Allowed), Ok(false)) {
            return;
        }
        let Ok(FileKind {
            content_type,
            may_have_sidecars: varies,
            coding: stored_coding,
        }) = FileKind::of(options, name, &stored, Wait::Allowed)
        else {
            return;
        };
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
        let kind = Kind {
            cache_control: options.cache_control(name, &content_type),
            content_type,
            stored_coding,
            varies,
        };
        let kind = match kinds.get(&kind) {
            Some(kind) => kind.clone(),
            None => {
                let kind = Arc::new(kind);
                kinds.insert(kind.clone());
                kind
            }
        };
        let itself = self.hold(stored, name, None, memory);
        if is_sidecar && !itself.is_held {
            return;
        }
        self.files.push(Indexed {
            itself,
            sidecars: sidecars.into(),
            kind,
        });
        self.place(files, name, Target::File(number));
    }

    /// Adds a file at the path of its directory or at its clean name.
    fn place<S: Source>(&mut self, files: &StaticFiles<S>, name: &[u8], file: Target) {
        let options = &files.files.options;
        let (folder, own) = match name.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => name.split_at(slash + 1),
            None => (&b""[..], name),
        };
        let rank = |own: &[u8]| {
            let mut names = options.index.iter();
            names.position(|index| index.as_bytes() == own)
        };
        if let Some(rank_of_this) = rank(own) {
            let root = [b"/", folder].concat();
            let rank_of_other = match self.others.get(&*root) {
                Some(Target::File(number)) => {
                    let path = self.files[*number as usize].itself.path();
                    path.rsplit(|&byte| byte == b'/').next().and_then(rank)
                }
                _ => None,
            };
            if rank_of_other.is_none_or(|other| rank_of_this < other) {
                let without_slash = root[..root.len() - 1].into();
                self.others.insert(without_slash, Target::Slash);
                self.others.insert(root.into(), file);
            }
        }
        if let Some(clean) = own
            .strip_suffix(b".html")
            .filter(|own| options.clean_urls && !own.is_empty())
        {
            let clean = [folder, clean].concat();
            let clean: Box<[u8]> = [b"/", &*clean].concat().into();
            // A page takes precedence over a listing, and an index file over a page.
            match self.others.get(&clean) {
                None | Some(Target::Listing) => drop(self.others.insert(clean, file)),
                Some(Target::Slash | Target::File(_)) => {}
            }
        }
    }

    /// Prepares the headers of a file, and reads it if there is room.
    fn hold(
        &mut self,
        stored: Stored,
        name: &[u8],
        coding: Option<Coding>,
        memory: u64,
    ) -> Variant {
        let is_held = stored.length <= SMALL && self.held.saturating_add(stored.length) <= memory;
        let variant = Variant::new(stored, name, coding, is_held);
        if variant.is_held {
            self.held += variant.length;
        }
        variant
    }
}

/// Returns the decoded path; `None` when it cannot be the path of a file.
fn decoded(raw: &str) -> Option<Vec<u8>> {
    let view = PathView::parse(raw).ok()?;
    let name = Name::of(&view, true).ok()?;
    let slash: &[u8] = if view.has_trailing_slash() { b"/" } else { b"" };
    Some([b"/", name.as_bytes(), slash].concat())
}

impl<S> Clone for IndexedFiles<S> {
    /// Clones the handle: both share the index, and a reload affects both.
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

/// Maximum size in bytes of a file in memory. A response from memory copies the bytes once, one
/// from a file twice.
const SMALL: u64 = 1024 * 1024;
