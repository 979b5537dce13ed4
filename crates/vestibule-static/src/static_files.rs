//! The app.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderValue, Method, StatusCode};
use vestibule_core::{
    App, BoxApp, Failure, FailureKind, IntoResponse, Outline, PathView, Request, Response,
};

use crate::coding::{self, Coding, ZSTD_HEAD, is_zstd_for_the_web};
use crate::directory::{Directory, Symlinks};
use crate::mime::{is_compressible, media_type};
use crate::name::Name;
use crate::redirect;
use crate::respond::{self, Asked, Representation, respond, status_page};
use crate::source::{Entry, Source, Stored, Wait};

/// Answers with files.
///
/// | request | answer |
/// |---|---|
/// | GET of a file | 200, or by its conditions and ranges 206, 304, 412, 416 |
/// | HEAD | the same headers, no body |
/// | a directory with an index file, without its slash | 308 to the same path with a slash, the query kept |
/// | what is not there, or is refused | 404, or the app given to [`or`](Self::or) |
/// | a path that could be read in two ways | 400 (see [`PathView`]) |
/// | a file that may not be read | 403 |
/// | OPTIONS | 204 with `Allow` |
/// | other methods | 405 with `Allow`, or the app given to [`or`](Self::or) |
///
/// Below a [`Mount`](vestibule_core::Mount) names are looked up after its prefix.
///
/// Reads `Accept-Encoding`, `If-Match`, `If-None-Match`, `If-Modified-Since`, `If-Unmodified-Since`, `If-Range` and
/// `Range`. Writes `Content-Type`, `Content-Length`, `ETag`, `Last-Modified`, `Accept-Ranges`, `Content-Range`,
/// `Content-Encoding`, `Vary`, `Cache-Control`, `Location`, `Allow` and `X-Content-Type-Options`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, Request};
/// use vestibule_static::StaticFiles;
///
/// let app = StaticFiles::new(env!("CARGO_MANIFEST_DIR"));
///
/// let mut request = Request::default();
/// *request.uri_mut() = "/README.md".parse().unwrap();
/// let response = app.call(request).await;
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.headers()["content-type"], "text/markdown; charset=utf-8");
/// # }
/// ```
pub struct StaticFiles<S = Directory> {
    files: Arc<Files<S>>,
    or: Option<BoxApp>,
}

/// What may be needed on a thread of the blocking pool.
#[derive(Clone)]
struct Files<S> {
    source: S,
    options: Options,
}

#[derive(Clone)]
struct Options {
    /// Names of files that stand for their directory.
    index: Vec<Cow<'static, str>>,
    dotfiles: bool,
    /// Whether sidecars are looked for.
    precompressed: bool,
}

impl StaticFiles {
    /// Serves the files below the folder at `path`.
    ///
    /// If there is no such folder, nothing is found until there is one; [`try_new`](Self::try_new) says so at once.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::from_source(Directory::new(path))
    }

    /// Serves the files below the folder at `path`.
    ///
    /// # Errors
    ///
    /// When there is no such folder, or it cannot be opened.
    ///
    /// ```
    /// use vestibule_static::StaticFiles;
    ///
    /// assert!(StaticFiles::try_new(env!("CARGO_MANIFEST_DIR")).is_ok());
    /// assert!(StaticFiles::try_new("no such folder").is_err());
    /// ```
    pub fn try_new(path: impl Into<PathBuf>) -> io::Result<Self> {
        Ok(Self::from_source(Directory::open(path)?))
    }

    /// Says what is done with symbolic links; [`Symlinks::Beneath`] if it is not said.
    #[must_use]
    pub fn symlinks(mut self, symlinks: Symlinks) -> Self {
        let files = Arc::make_mut(&mut self.files);
        files.source = files.source.clone().symlinks(symlinks);
        self
    }
}

impl<S: Source> StaticFiles<S> {
    /// Serves the files of a store.
    pub fn from_source(source: S) -> Self {
        let options = Options {
            index: vec![Cow::Borrowed("index.html")],
            dotfiles: false,
            precompressed: false,
        };
        Self {
            files: Arc::new(Files { source, options }),
            or: None,
        }
    }

    /// Sends what is not found to another app: GET and HEAD of what is missing or refused, and all requests with other
    /// methods, since files can only be read.
    ///
    /// The app gets the request as it came, its mount included.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::StaticFiles;
    ///
    /// async fn hello(_: Request) -> &'static str { "hello" }
    ///
    /// let app = StaticFiles::new(env!("CARGO_MANIFEST_DIR")).or(hello);
    /// let response = app.call(Request::default()).await;
    /// assert_eq!(response.into_body().collect(99).await.unwrap(), "hello");
    /// # }
    /// ```
    #[must_use]
    pub fn or(mut self, app: impl App) -> Self {
        self.or = Some(app.boxed());
        self
    }

    /// Names the files that stand for their directory, the first that is there counts; `index.html` if it is not said,
    /// none if the list is empty.
    #[must_use]
    pub fn index<N: Into<Cow<'static, str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.options().index = names.into_iter().map(Into::into).collect();
        self
    }

    /// Says whether files and folders are served whose names begin with a dot; `false` if it is not said. What is below
    /// `/.well-known/` is always served (RFC 8615).
    #[must_use]
    pub fn dotfiles(mut self, are_served: bool) -> Self {
        self.options().dotfiles = are_served;
        self
    }

    /// Says whether `app.js.br`, `app.js.zst` and `app.js.gz` are sent in the place of `app.js` to clients that take them;
    /// `false` if it is not said.
    ///
    /// Only types that shrink are looked at. A sidecar that is older than its file is ignored, and so is one in zstd that
    /// browsers refuse (RFC 9659). Each sidecar has an entity tag and ranges of its own, and all answers for such types
    /// say `Vary: Accept-Encoding`. Costs an attempt to open for each coding that the client likes better.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use http::HeaderValue;
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{Memory, StaticFiles, Stored};
    ///
    /// let files = Memory::new()
    ///     .with("app.js", Stored::memory("let a = 1"))
    ///     .with("app.js.br", Stored::memory("(as brotli)"));
    /// let app = StaticFiles::from_source(files).precompressed(true);
    ///
    /// let mut request = Request::default();
    /// *request.uri_mut() = "/app.js".parse().unwrap();
    /// request.headers_mut().insert("accept-encoding", HeaderValue::from_static("gzip, br"));
    /// let response = app.call(request).await;
    /// assert_eq!(response.headers()["content-encoding"], "br");
    /// assert_eq!(response.headers()["vary"], "accept-encoding");
    /// # }
    /// ```
    #[must_use]
    pub fn precompressed(mut self, are_sent: bool) -> Self {
        self.options().precompressed = are_sent;
        self
    }

    fn options(&mut self) -> &mut Options {
        &mut Arc::make_mut(&mut self.files).options
    }

    /// The answer to a GET or HEAD; `None` when there is no such file.
    async fn answer(&self, request: &Request) -> Option<Response> {
        let view = match PathView::of(request) {
            Ok(view) => view,
            Err(error) => return Some(error.into_response()),
        };
        let name = Name::of(&view, self.files.options.dotfiles)?;
        let has_slash = view.has_trailing_slash();
        let asked = Asked {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            now: SystemTime::now().into(),
            wait: Wait::Never,
        };
        let answer = match self.files.answer(&asked, &name, has_slash) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.answer_in_pool(&asked, name.into_owned(), has_slash)
                    .await
            }
            answer => answer,
        };
        answer.unwrap_or_else(|error| Some(fault(error)))
    }

    /// Starts again on a thread that may wait: one hand-over does all that remains.
    async fn answer_in_pool(
        &self,
        asked: &Asked<'_>,
        name: Name<'static>,
        has_slash: bool,
    ) -> io::Result<Option<Response>> {
        let wait = Wait::Allowed;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return self
                .files
                .answer(&Asked { wait, ..*asked }, &name, has_slash);
        };
        let files = self.files.clone();
        let (method, uri) = (asked.method.clone(), asked.uri.clone());
        let (headers, now) = (asked.headers.clone(), asked.now);
        let answer = runtime.spawn_blocking(move || {
            let asked = Asked {
                method: &method,
                uri: &uri,
                headers: &headers,
                now,
                wait,
            };
            files.answer(&asked, &name, has_slash)
        });
        answer
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

impl<S: Source> App for StaticFiles<S> {
    async fn call(&self, request: Request) -> Response {
        let is_head = request.method() == Method::HEAD;
        if is_head || request.method() == Method::GET {
            if let Some(response) = self.answer(&request).await {
                return if is_head {
                    without_bytes(response)
                } else {
                    response
                };
            }
        }
        match &self.or {
            Some(app) => app.call(request).await,
            None => match *request.method() {
                Method::GET => status_page(StatusCode::NOT_FOUND),
                Method::HEAD => without_bytes(status_page(StatusCode::NOT_FOUND)),
                Method::OPTIONS => respond::options(),
                _ => respond::method_not_allowed(),
            },
        }
    }

    fn describe(&self, outline: &mut Outline) {
        let Files { source, options } = &*self.files;
        source.describe(outline);
        outline.option("index", options.index.join(" "));
        if options.precompressed {
            outline.option("precompressed", "br zstd gzip");
        }
        if options.dotfiles {
            outline.option("dotfiles", "served");
        }
        if let Some(app) = &self.or {
            outline.mount("otherwise", app);
        }
    }
}

impl<S: Source> Files<S> {
    /// The answer for a name; `None` when there is no such file.
    fn answer(
        &self,
        asked: &Asked<'_>,
        name: &Name<'_>,
        has_slash: bool,
    ) -> io::Result<Option<Response>> {
        let name = name.as_bytes();
        match self.find(asked, name, has_slash)? {
            Found::File(stored, name) => {
                let mut file = self.represent(stored, &name);
                if self.options.precompressed {
                    self.encode(asked, &mut file, &name)?;
                }
                respond(asked, file).map(Some)
            }
            Found::Directory => Ok(redirect::with_slash(asked.uri).map(respond::redirect)),
            Found::Nothing => Ok(None),
        }
    }

    fn find<'n>(
        &self,
        asked: &Asked<'_>,
        name: &'n [u8],
        has_slash: bool,
    ) -> io::Result<Found<'n>> {
        match self.open(name, asked.wait)? {
            Some(Entry::File(_)) if has_slash => Ok(Found::Nothing),
            Some(Entry::File(stored)) => Ok(Found::File(stored, Cow::Borrowed(name))),
            Some(Entry::Directory) => self.find_index(asked, name, has_slash),
            None => Ok(Found::Nothing),
        }
    }

    fn find_index<'n>(
        &self,
        asked: &Asked<'_>,
        name: &'n [u8],
        has_slash: bool,
    ) -> io::Result<Found<'n>> {
        for index in &self.options.index {
            let name = match name {
                b"" => index.as_bytes().to_vec(),
                _ => [name, index.as_bytes()].join(&b'/'),
            };
            match self.open(&name, asked.wait)? {
                Some(Entry::File(_)) if !has_slash => return Ok(Found::Directory),
                Some(Entry::File(stored)) => return Ok(Found::File(stored, Cow::Owned(name))),
                _ => {}
            }
        }
        Ok(Found::Nothing)
    }

    /// Opens a name; `None` when there is nothing.
    fn open(&self, name: &[u8], wait: Wait) -> io::Result<Option<Entry>> {
        match self.source.open(name, wait) {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts the best sidecar in the place of `file`, if there is one.
    fn encode(&self, asked: &Asked<'_>, file: &mut Representation, name: &[u8]) -> io::Result<()> {
        if !file.content_type.to_str().is_ok_and(is_compressible) {
            return Ok(());
        }
        file.varies = true;
        for coding in coding::wanted(asked.headers) {
            let name = [name, coding.suffix().as_bytes()].concat();
            let mut sidecar = match self.open(&name, asked.wait) {
                Ok(Some(Entry::File(sidecar))) => sidecar,
                Ok(_) => continue,
                // One that may not be read is no reason to refuse the file.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
                Err(error) => return Err(error),
            };
            if !is_fresh(&sidecar, &file.stored) {
                continue;
            }
            if coding == Coding::Zstd && !is_zstd_for_the_web(&sidecar.head(ZSTD_HEAD, asked.wait)?)
            {
                continue;
            }
            // Two codings of one file must not share a tag, whatever the store says.
            sidecar.tag = match (&file.stored.tag, sidecar.tag) {
                (Some(_), Some(tag)) => Some(format!("{tag}-{}", coding.token()).into()),
                _ => None,
            };
            file.stored = sidecar;
            file.encoding = Some(coding.token());
            break;
        }
        Ok(())
    }

    fn represent(&self, stored: Stored, name: &[u8]) -> Representation {
        Representation {
            stored,
            status: StatusCode::OK,
            content_type: HeaderValue::from_static(media_type(name)),
            encoding: None,
            varies: false,
            cache_control: None,
            extra: Vec::new(),
        }
    }
}

/// What a name stands for.
enum Found<'n> {
    /// A file, and the name that its type is told from.
    File(Stored, Cow<'n, [u8]>),
    /// A directory that has a page, named without its slash.
    Directory,
    Nothing,
}

/// Whether a sidecar was made after its file was changed, as far as they have dates, and holds something.
fn is_fresh(sidecar: &Stored, file: &Stored) -> bool {
    let is_later = match (sidecar.modified, file.modified) {
        (Some(sidecar), Some(file)) => sidecar >= file,
        (None, Some(_)) => false,
        (_, None) => true,
    };
    is_later && sidecar.length > 0
}

/// Whether an error of opening says that there is no such file, or none that may be served.
fn is_missing(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        // A link that leads out or in circles, a socket, a device that is not there.
        let missing = [
            Errno::XDEV,
            Errno::LOOP,
            Errno::NXIO,
            Errno::NODEV,
            Errno::NAMETOOLONG,
            Errno::ILSEQ,
        ];
        if Errno::from_io_error(error).is_some_and(|errno| missing.contains(&errno)) {
            return true;
        }
    }
    matches!(
        error.kind(),
        NotFound | NotADirectory | InvalidFilename | InvalidInput
    )
}

/// The answer when a file is there and cannot be sent: 403, 503 when there are too many open files, else 500.
fn fault(error: io::Error) -> Response {
    #[cfg(unix)]
    let is_overload = {
        use rustix::io::Errno;
        let errno = Errno::from_io_error(&error);
        matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
    };
    #[cfg(not(unix))]
    let is_overload = false;
    let failure = match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::new(error).status(StatusCode::FORBIDDEN),
        _ if is_overload => Failure::new(error).kind(FailureKind::Overload),
        _ => Failure::new(error),
    };
    failure.layer("StaticFiles").into_response()
}

/// The answer to HEAD: as to GET, without the bytes.
fn without_bytes(response: Response) -> Response {
    response.map(vestibule_core::Body::without_bytes)
}

impl<S> Clone for StaticFiles<S> {
    fn clone(&self) -> Self {
        Self {
            files: self.files.clone(),
            or: self.or.clone(),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for StaticFiles<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticFiles")
            .field("source", &self.files.source)
            .field("index", &self.files.options.index)
            .field("dotfiles", &self.files.options.dotfiles)
            .field("or", &self.or)
            .finish()
    }
}
