//! The app.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::{ACCEPT, ALLOW, CONTENT_RANGE, RETRY_AFTER, VARY};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use tokio::sync::Semaphore;
use vestibule_core::{
    App, BoxApp, Failure, FailureKind, IntoResponse, Mount, Outline, PathError, PathView, Request,
    Response, UnknownPrefix,
};

use crate::archive::{self, Format};
use crate::coding::{self, Coding, ZSTD_HEAD, is_zstd_for_the_web};
use crate::directory::{Directory, Symlinks};
use crate::file_kind::FileKind;
use crate::glob::{Glob, GlobError};
use crate::hand_over::HandOver;
use crate::header_rules::{self, Change, HeaderRules, Pattern, Rule};
use crate::listing::{self, Listing};
use crate::name::{Name, NoName, WELL_KNOWN};
use crate::open_file::FileChanged;
use crate::options::{self, Options, has_extension, takes_anything, wants_page};
use crate::readme;
use crate::redirect;
use crate::redirect_rules::{Effect, RedirectRules};
use crate::respond::{self, Asked, NO_CACHE, Representation, respond, status_page};
use crate::sidecar_rights::is_refused;
use crate::source::{Entry, Listed, Source, Stored, Wait};

/// Answers with files.
///
/// | request | answer |
/// |---|---|
/// | GET of a file | 200, or by its conditions and ranges 206, 304, 412, 416 |
/// | HEAD | the same headers, no body |
/// | a directory with an index file, without its slash | 308 to the same path with a slash, the query kept |
/// | a path whose only fault is empty segments, such as `/a//b` | 308 to the path with single slashes, the query kept |
/// | what is not there, or is refused | 404, a page to browsers; or the app given to [`or`](Self::or) |
/// | a path that could be read in two ways | 400 (see [`PathView`]) |
/// | a file that may not be read, or a sidecar of one (`a.txt.gz`) | 403 |
/// | OPTIONS | 204 with `Allow` |
/// | other methods | 405 with `Allow`, or the app given to [`or`](Self::or) |
/// | methods that are not registered with IANA | 501, or the app given to [`or`](Self::or) |
///
/// Each 308 says `Cache-Control: no-cache`. Below a [`Mount`] names are looked up after its prefix.
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
#[doc(alias(
    "static files",
    "serve_dir",
    "ServeDir",
    "file server",
    "etag",
    "sendfile",
    "spa"
))]
pub struct StaticFiles<S = Directory> {
    pub(crate) files: Arc<Files<S>>,
    pub(crate) or: Option<BoxApp>,
}

/// What may be needed on a thread of the blocking pool.
#[derive(Clone)]
pub(crate) struct Files<S> {
    pub(crate) source: S,
    pub(crate) options: Options,
}

impl StaticFiles {
    /// Whether [`header`](Self::header) takes a header of that name, for names that a user gave.
    ///
    /// ```
    /// use vestibule_static::StaticFiles;
    ///
    /// assert!(StaticFiles::takes_header("Referrer-Policy"));
    /// assert!(!StaticFiles::takes_header("ETag"));
    /// assert!(!StaticFiles::takes_header("not a name"));
    /// ```
    #[must_use]
    pub fn takes_header(name: &str) -> bool {
        name.parse()
            .is_ok_and(|name| header_rules::is_for_rules(&name))
    }

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
    ///
    /// ```
    /// use vestibule_static::{StaticFiles, Symlinks};
    ///
    /// let app = StaticFiles::new("public").symlinks(Symlinks::Deny);
    /// assert!(vestibule_core::Outline::of(&app).to_string().contains("symlinks: deny"));
    /// ```
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
        let options = Options::default();
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
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{Memory, StaticFiles, Stored};
    ///
    /// let files = Memory::new().with("docs/start.html", Stored::memory("<p>start"));
    /// let app = StaticFiles::from_source(files).index(["index.html", "start.html"]);
    /// let mut request = Request::default();
    /// *request.uri_mut() = "/docs/".parse().unwrap();
    /// assert_eq!(app.call(request).await.status(), 200);
    /// # }
    /// ```
    #[must_use]
    pub fn index<N: Into<Cow<'static, str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.options().index = names.into_iter().map(Into::into).collect();
        self
    }

    /// Says whether files and folders are served whose names begin with a dot; `false` if it is not said. What is below
    /// `/.well-known/` is always served (RFC 8615).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{Memory, StaticFiles, Stored};
    ///
    /// let files = Memory::new().with(".config", Stored::memory("a"));
    /// let app = StaticFiles::from_source(files);
    /// let mut request = Request::default();
    /// *request.uri_mut() = "/.config".parse().unwrap();
    /// assert_eq!(app.call(request).await.status(), 404);
    ///
    /// let mut request = Request::default();
    /// *request.uri_mut() = "/.config".parse().unwrap();
    /// assert_eq!(app.dotfiles(true).call(request).await.status(), 200);
    /// # }
    /// ```
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

    /// Says whether directories without an index file are listed; `false` if it is not said.
    ///
    /// The listing is a page that sorts by name, size and date without any script, or JSON to those who like it better
    /// (`Accept: application/json`): `{"path":"/","entries":[{"name":"a.txt","type":"file","href":"./a.txt","size":10,
    /// "modified":"1994-11-06T08:49:37Z"}]}`. What is refused is not listed. Directories are read in the blocking pool.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{Memory, StaticFiles, Stored};
    ///
    /// let files = Memory::new().with("a.txt", Stored::memory("a"));
    /// let app = StaticFiles::from_source(files).listing(true);
    /// let page = app.call(Request::default()).await.into_body().collect(9999).await.unwrap();
    /// assert!(String::from_utf8_lossy(&page).contains("href=\"./a.txt\""));
    /// # }
    /// ```
    #[must_use]
    pub fn listing(mut self, is_made: bool) -> Self {
        self.options().listing = is_made;
        self
    }

    /// Sets whether `/about` is answered with `about.html` when there is no `about`. Defaults to `false`.
    ///
    /// A page comes before the listing of a folder: with `blog.html` and a folder `blog` without an index file, `/blog` is
    /// the page, and `/blog/` is redirected to it. A folder with an index file comes before a page.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{Memory, StaticFiles, Stored};
    ///
    /// let files = Memory::new().with("about.html", Stored::memory("<p>about"));
    /// let app = StaticFiles::from_source(files).clean_urls(true);
    /// let mut request = Request::default();
    /// *request.uri_mut() = "/about".parse().unwrap();
    /// assert_eq!(app.call(request).await.status(), 200);
    /// # }
    /// ```
    #[must_use]
    pub fn clean_urls(mut self, are_found: bool) -> Self {
        self.options().clean_urls = are_found;
        self
    }

    /// Answers navigation to what is not there with `page`, as single-page apps need it.
    ///
    /// GET and HEAD get the page when `Accept` has `text/html` by name. When no other app is given to [`or`](Self::or),
    /// paths without an extension also get it by `Accept: */*` or without `Accept`, as `curl` and crawlers ask. Scripts,
    /// images and data get their 404. Paths that no file can have, such as `/repo/owner%2Fname` or a token of more than 255
    /// characters, are routes as well.
    ///
    /// Names with a dot at their start stay 404 (see [`dotfiles`](Self::dotfiles)), so do all paths below `/.well-known/`,
    /// where clients ask for a 404. Comes before the app given to [`or`](Self::or). The answers have `Vary: Accept` and
    /// `Cache-Control: no-cache`; see [`hashed_names`](Self::hashed_names).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use http::HeaderValue;
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{Memory, StaticFiles, Stored};
    ///
    /// let app = StaticFiles::from_source(Memory::new().with("app.html", Stored::memory("<app>"))).spa("app.html");
    ///
    /// let mut request = Request::default();
    /// *request.uri_mut() = "/users/7".parse().unwrap();
    /// request.headers_mut().insert("accept", HeaderValue::from_static("text/html"));
    /// assert_eq!(app.call(request).await.status(), 200);
    ///
    /// let mut request = Request::default();
    /// *request.uri_mut() = "/users/7.js".parse().unwrap();
    /// assert_eq!(app.call(request).await.status(), 404);
    /// # }
    /// ```
    #[must_use]
    pub fn spa(mut self, page: impl Into<Cow<'static, str>>) -> Self {
        self.options().spa = Some(page.into());
        self
    }

    /// Sends `page` with each 404. It is [`error_page`](Self::error_page) for this status.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{Memory, StaticFiles, Stored};
    ///
    /// let files = Memory::new().with("404.html", Stored::memory("<p>lost"));
    /// let app = StaticFiles::from_source(files).not_found("404.html");
    /// let mut request = Request::default();
    /// *request.uri_mut() = "/nothing".parse().unwrap();
    /// let response = app.call(request).await;
    /// assert_eq!(response.status(), 404);
    /// assert_eq!(response.into_body().collect(99).await.unwrap(), "<p>lost");
    /// # }
    /// ```
    #[must_use]
    pub fn not_found(mut self, page: impl Into<Cow<'static, str>>) -> Self {
        let page = (StatusCode::NOT_FOUND, page.into());
        self.options().error_pages.push(page);
        self
    }

    /// Sends `page` with each error of a status, such as 403, 404 or 500. Defaults to a line of text.
    ///
    /// The page is a file of this source. It is sent without validators, and conditions and ranges of the request do not
    /// apply to it. If it cannot be opened, the line of text is sent. Answers of an app given to [`or`](Self::or) are not
    /// changed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use http::{Method, StatusCode};
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{Memory, StaticFiles, Stored};
    ///
    /// let files = Memory::new().with("405.html", Stored::memory("<p>read only"));
    /// let app = StaticFiles::from_source(files).error_page(StatusCode::METHOD_NOT_ALLOWED, "405.html");
    /// let mut request = Request::default();
    /// *request.method_mut() = Method::POST;
    /// let response = app.call(request).await;
    /// assert_eq!(response.status(), 405);
    /// assert_eq!(response.into_body().collect(99).await.unwrap(), "<p>read only");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When `status` is not an error: 400 to 599.
    #[must_use]
    pub fn error_page(mut self, status: StatusCode, page: impl Into<Cow<'static, str>>) -> Self {
        assert!(
            status.is_client_error() || status.is_server_error(),
            "{status} is not an error: error pages are for 400 to 599"
        );
        self.options().error_pages.push((status, page.into()));
        self
    }

    /// Sets whether the page of a 404 is looked for in the folder that was asked for, then in each folder above it.
    /// Defaults to `false`: the page of the root alone.
    ///
    /// The page is called as [`not_found`](Self::not_found) says, or `404.html`. Costs two attempts to open for each folder
    /// of the path that exists.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{Memory, StaticFiles, Stored};
    ///
    /// let files = Memory::new()
    ///     .with("404.html", Stored::memory("lost"))
    ///     .with("de/404.html", Stored::memory("verirrt"));
    /// let app = StaticFiles::from_source(files).nearest_not_found(true);
    /// let mut request = Request::default();
    /// *request.uri_mut() = "/de/blog/post".parse().unwrap();
    /// let response = app.call(request).await;
    /// assert_eq!(response.status(), 404);
    /// assert_eq!(response.into_body().collect(99).await.unwrap(), "verirrt");
    /// # }
    /// ```
    #[must_use]
    pub fn nearest_not_found(mut self, enabled: bool) -> Self {
        self.options().nearest_not_found = enabled;
        self
    }

    /// Hides files whose names match a [`Glob`]: they are not found, not listed and not indexed.
    ///
    /// So is everything below a hidden folder, and each compressed copy (`.br`, `.zst`, `.gz`) of a hidden file. A file that a link leads to has a second name, which may match or not. A hidden
    /// file can still be the page of a 404, of another error or of a single-page app.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{Memory, StaticFiles, Stored};
    ///
    /// let files = Memory::new().with("a.txt~", Stored::memory("old"));
    /// let app = StaticFiles::from_source(files).hide("*~");
    /// let mut request = Request::default();
    /// *request.uri_mut() = "/a.txt~".parse().unwrap();
    /// assert_eq!(app.call(request).await.status(), 404);
    /// # }
    /// ```
    #[must_use]
    pub fn hide(mut self, pattern: &str) -> Self {
        self.options()
            .hidden
            .push(expect_glob(Glob::try_new(pattern)));
        self
    }

    /// Sets whether a listed folder can be had as one file: `?archive=tar` or `?archive=zip`. Defaults to `false`, since
    /// anybody can then make the server read all of it.
    ///
    /// The archive has what the listings of the folder and of those below it have. It is made while it is sent, in bounded
    /// memory, without compression and without a length. A file that grows is sent with the length that it was opened with;
    /// one that is cut, or cannot be read, ends the body in an error. A file that may not be opened is left out. Links to
    /// folders are followed once. At most four archives are worked on at a time. Does nothing without
    /// [`listing`](Self::listing).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{Memory, StaticFiles, Stored};
    ///
    /// let files = Memory::new().with("photos/a.txt", Stored::memory("hello"));
    /// let app = StaticFiles::from_source(files).listing(true).archives(true);
    /// let mut request = Request::default();
    /// *request.uri_mut() = "/photos/?archive=tar".parse().unwrap();
    /// let response = app.call(request).await;
    /// assert_eq!(response.headers()["content-disposition"], "attachment; filename=\"photos.tar\"");
    /// let tar = response.into_body().collect(9999).await.unwrap();
    /// assert!(tar[512..].starts_with(b"photos/a.txt\0"));
    /// # }
    /// ```
    #[must_use]
    pub fn archives(mut self, enabled: bool) -> Self {
        self.options().archives = enabled.then(|| Arc::new(Semaphore::new(archive::AT_A_TIME)));
        self
    }

    /// Sets whether a listing shows the README of its folder below the list. Defaults to `true`.
    ///
    /// The first of `README.md`, `README.markdown`, `README.txt` and `README` counts; case does not. It is a file of at most
    /// 256 KiB in UTF-8 that may be read. Markdown is shown in the form that most READMEs use: headings, lists, code, links,
    /// emphasis, quotes. HTML in it is shown as text. Does nothing without [`listing`](Self::listing).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{Memory, StaticFiles, Stored};
    ///
    /// let files = Memory::new().with("README.md", Stored::memory("# Hello <world>"));
    /// let app = StaticFiles::from_source(files).listing(true);
    /// let page = app.clone().call(Request::default()).await.into_body().collect(9999).await.unwrap();
    /// assert!(String::from_utf8_lossy(&page).contains("Hello &lt;world&gt;"));
    ///
    /// let page = app.readme(false).call(Request::default()).await.into_body().collect(9999).await.unwrap();
    /// assert!(!String::from_utf8_lossy(&page).contains("Hello"));
    /// # }
    /// ```
    #[must_use]
    pub fn readme(mut self, enabled: bool) -> Self {
        self.options().readme = enabled;
        self
    }

    /// Sets the media type of files by an extension or a [`Glob`]; of several rules the last one that matches counts.
    ///
    /// A word without `.`, `/` and wildcards is an extension, in any case, and also the whole name of a file: `ts` is for
    /// `clip.ts` and `clip.TS`, `LICENSE` for a file of this name. All else is a pattern: `*.tar.gz`, `/api/**`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{Memory, StaticFiles, Stored};
    ///
    /// let files = Memory::new()
    ///     .with("clip.ts", Stored::memory("G"))
    ///     .with("api/users", Stored::memory("[]"));
    /// let app = StaticFiles::from_source(files)
    ///     .media_type("ts", "video/mp2t")
    ///     .media_type("/api/**", "application/json");
    /// for (path, media_type) in [("/clip.ts", "video/mp2t"), ("/api/users", "application/json")] {
    ///     let mut request = Request::default();
    ///     *request.uri_mut() = path.parse().unwrap();
    ///     assert_eq!(app.call(request).await.headers()["content-type"], media_type);
    /// }
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When `pattern` can match no name ([`Glob::try_new_or_extension`]), or `media_type` is not a media type.
    #[must_use]
    pub fn media_type<V: TryInto<HeaderValue>>(mut self, pattern: &str, media_type: V) -> Self {
        let glob = expect_glob(Glob::try_new_or_extension(pattern));
        let rule = (glob, options::media_type_value(media_type));
        self.options().media_types.push(rule);
        self
    }

    /// Names files that are stored in a content coding, by an extension or a [`Glob`]. Defaults to none; `.svgz` files are
    /// always sent in gzip.
    ///
    /// Games, map tiles and the like are published as `game.framework.js.gz` and are asked for by this name. A client that
    /// accepts the coding gets `text/javascript` with `Content-Encoding: gzip`, and decodes it. Others get the file as it
    /// is, as `application/gzip`. Both answers say `Vary: Accept-Encoding` and have different entity tags; ranges are of
    /// the stored bytes.
    ///
    /// The coding comes from `.gz`, `.br` or `.zst` at the end of the name. Without such an end (`tiles/3/4/2.pbf`) it comes
    /// from the first bytes, for gzip and zstd; a file without their mark is sent as it is. Archives and disk images are
    /// never sent so: `backup.tar.gz` stays a download.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use http::HeaderValue;
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{Memory, StaticFiles, Stored};
    ///
    /// let files = Memory::new().with("game.js.gz", Stored::memory("(as gzip)"));
    /// let app = StaticFiles::from_source(files).stored_encoded("*.gz");
    /// let mut request = Request::default();
    /// *request.uri_mut() = "/game.js.gz".parse().unwrap();
    /// request.headers_mut().insert("accept-encoding", HeaderValue::from_static("gzip"));
    /// let response = app.call(request).await;
    /// assert_eq!(response.headers()["content-type"], "text/javascript; charset=utf-8");
    /// assert_eq!(response.headers()["content-encoding"], "gzip");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When `pattern` can match no name, or only archives ([`Glob::try_stored_encoded`]).
    #[doc(alias("content-encoding", "unity", "svgz", "gzip_static"))]
    #[must_use]
    pub fn stored_encoded(mut self, pattern: &str) -> Self {
        let glob = expect_glob(Glob::try_stored_encoded(pattern));
        self.options().stored_encoded.push(glob);
        self
    }

    /// Sets `Cache-Control` on files whose names match a [`Glob`]; of several rules the last one that matches counts.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{Memory, StaticFiles, Stored};
    ///
    /// let files = Memory::new().with("index.html", Stored::memory("<p>"));
    /// let app = StaticFiles::from_source(files).cache_control("*", "max-age=600").cache_control("*.html", "no-cache");
    /// assert_eq!(app.call(Request::default()).await.headers()["cache-control"], "no-cache");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When `pattern` can match no name ([`Glob::try_new`]), or `value` cannot stand in a header.
    #[must_use]
    pub fn cache_control<V: TryInto<HeaderValue>>(mut self, pattern: &str, value: V) -> Self {
        let rule = (expect_glob(Glob::try_new(pattern)), options::value(value));
        self.options().cache.push(rule);
        self
    }

    /// Sets whether files with a hash in their names are sent with `Cache-Control: public, max-age=31536000, immutable`.
    /// Defaults to `false`. See [`has_hashed_name`](crate::has_hashed_name) for the names.
    ///
    /// All other files are then sent with `Cache-Control: no-cache`, except images, fonts, sound and video: pages, scripts and
    /// data must not be older than the files that a deploy has removed. [`spa`](Self::spa) does the same. Rules of
    /// [`cache_control`](Self::cache_control) come first.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{Memory, StaticFiles, Stored};
    ///
    /// let files = Memory::new().with("app-B7sZ3kfd.js", Stored::memory("let a"));
    /// let app = StaticFiles::from_source(files).hashed_names(true);
    /// let mut request = Request::default();
    /// *request.uri_mut() = "/app-B7sZ3kfd.js".parse().unwrap();
    /// let response = app.call(request).await;
    /// assert_eq!(response.headers()["cache-control"], "public, max-age=31536000, immutable");
    /// # }
    /// ```
    #[must_use]
    pub fn hashed_names(mut self, are_immutable: bool) -> Self {
        self.options().hashed_names = are_immutable;
        self
    }

    /// Sets a header on all answers whose path matches a [`Glob`], or that are a file whose name matches it.
    ///
    /// Errors, redirects, listings and answers to OPTIONS have it too. `Expires` and the headers that describe content
    /// (`Content-Language`, `Content-Disposition` and so on, not `Content-Security-Policy`) are on 200, 206 and 304 alone.
    /// The path is the one below the mount; a path that could be read in two ways (400) matches `*` and `/**`. Answers of an
    /// app given to [`or`](Self::or) are its own and have none of these headers. Listings and the built-in 404 page keep their
    /// own `Content-Security-Policy`.
    ///
    /// All rules that match apply, later ones over earlier ones of the same header.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{Memory, StaticFiles, Stored};
    ///
    /// let files = Memory::new().with("a.html", Stored::memory("<p>"));
    /// let app = StaticFiles::from_source(files).header("*.html", "referrer-policy", "same-origin");
    /// let mut request = Request::default();
    /// *request.uri_mut() = "/a.html".parse().unwrap();
    /// assert_eq!(app.call(request).await.headers()["referrer-policy"], "same-origin");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When `pattern` can match no name ([`Glob::try_new`]), when `name` is no header name, or when `value` cannot stand in a header. The headers that describe the bytes and the
    /// answer (`Content-Length`, `Content-Range`, `ETag` and so on) are not to be set here.
    #[must_use]
    pub fn header<V: TryInto<HeaderValue>>(mut self, pattern: &str, name: &str, value: V) -> Self {
        let name: HeaderName = name.parse().expect("a header name is an RFC 9110 token");
        assert!(
            header_rules::is_for_rules(&name),
            "{name} is set by StaticFiles itself"
        );
        let rule = Rule {
            pattern: Pattern::Name(expect_glob(Glob::try_new(pattern))),
            change: Change::Set(name, options::value(value)),
        };
        self.options().headers.push(rule);
        self
    }

    /// Adds the rules of a `_headers` file, after those that were added before. They apply to answers as those of
    /// [`header`](Self::header) do.
    ///
    /// The file itself is served unless it is hidden: `hide("/_headers")`. See [`HeaderRules`] for an example.
    #[must_use]
    pub fn header_rules(mut self, rules: HeaderRules) -> Self {
        self.options().headers.extend(rules.rules);
        self
    }

    /// Adds the rules of a `_redirects` file, after those that were added before. They come before
    /// [`spa`](Self::spa), [`not_found`](Self::not_found) and [`or`](Self::or).
    ///
    /// The file itself is served unless it is hidden: `hide("/_redirects")`. See [`RedirectRules`] for an example.
    #[must_use]
    pub fn redirect_rules(mut self, rules: RedirectRules) -> Self {
        self.options().redirects.extend(rules.rules);
        self
    }

    /// Lets the server in front send the bytes: answers with 200, the type and the name of the file, and no bytes.
    ///
    /// Conditions, ranges and sidecars are left to that server, which has entity tags of its own; so are the headers of
    /// its own answer (nginx keeps `Content-Type`, `Cache-Control` and few others of ours). Pages that come with a 404,
    /// files that are stored in a content coding, and files that are not on disk, are sent as ever. Only for apps that nobody reaches but through that server.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::{App, Request};
    /// use vestibule_static::{HandOver, StaticFiles};
    ///
    /// // location /files/ { internal; alias /srv/public/; }
    /// let app = StaticFiles::new(env!("CARGO_MANIFEST_DIR")).hand_over(HandOver::XAccelRedirect("/files".into()));
    /// let mut request = Request::default();
    /// *request.uri_mut() = "/README.md".parse().unwrap();
    /// let response = app.call(request).await;
    /// assert_eq!(response.headers()["x-accel-redirect"], "/files/README.md");
    /// assert_eq!(response.headers()["content-length"], "0");
    /// # }
    /// ```
    #[must_use]
    pub fn hand_over(mut self, how: HandOver) -> Self {
        self.options().hand_over = Some(how);
        self
    }

    fn options(&mut self) -> &mut Options {
        &mut Arc::make_mut(&mut self.files).options
    }

    /// The answer; `None` when there is no such file and another app to ask.
    async fn answer(&self, request: &Request) -> Option<Response> {
        let asked = Asked {
            method: request.method(),
            uri: request.uri(),
            is_whole_path: UnknownPrefix::of(request).is_none(),
            headers: request.headers(),
            now: SystemTime::now().into(),
            wait: Wait::Never,
        };
        let wanted = Wanted::of(request, &self.files.options, self.or.is_none());
        match self.files.answer(&asked, &wanted) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Other errors have their answer.
            answer => return answer.unwrap_or_else(|error| Some(fault(error))),
        }
        let wanted = wanted.into_owned();
        let answer = self.answer_in_pool(&asked, wanted).await;
        answer.unwrap_or_else(|error| Some(fault(error)))
    }

    /// Starts again on a thread that may wait: one hand-over does all that remains.
    async fn answer_in_pool(
        &self,
        asked: &Asked<'_>,
        wanted: Wanted<'static>,
    ) -> io::Result<Option<Response>> {
        let wait = Wait::Allowed;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return self.files.answer(&Asked { wait, ..*asked }, &wanted);
        };
        let files = self.files.clone();
        let (method, uri) = (asked.method.clone(), asked.uri.clone());
        let (headers, now) = (asked.headers.clone(), asked.now);
        let is_whole_path = asked.is_whole_path;
        let answer = runtime.spawn_blocking(move || {
            let asked = Asked {
                method: &method,
                uri: &uri,
                is_whole_path,
                headers: &headers,
                now,
                wait,
            };
            files.answer(&asked, &wanted)
        });
        answer
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

impl<S: Source> App for StaticFiles<S> {
    async fn call(&self, request: Request) -> Response {
        let is_head = request.method() == Method::HEAD;
        let is_read = is_head || request.method() == Method::GET;
        let answer = match &self.or {
            Some(_) if !is_read => None,
            _ => self.answer(&request).await,
        };
        match (answer, &self.or) {
            (Some(response), _) if is_head => without_bytes(response),
            (Some(response), _) => response,
            (None, Some(app)) => app.call(request).await,
            // Without another app there is always an answer.
            (None, None) => status_page(StatusCode::NOT_FOUND),
        }
    }

    fn describe(&self, outline: &mut Outline) {
        let Files { source, options } = &*self.files;
        source.describe(outline);
        options.describe(outline);
        if let Some(app) = &self.or {
            outline.mount("otherwise", app);
        }
    }
}

impl<S: Source> Files<S> {
    /// The answer with the headers of the rules; `None` when there is no such file and another app to ask.
    ///
    /// A file that was renamed or written to while it was read is looked for again: none of it has been sent yet.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the answer takes the disk. All others have become an answer.
    fn answer(&self, asked: &Asked<'_>, wanted: &Wanted<'_>) -> io::Result<Option<Response>> {
        let mut answer = self.answer_once(asked, wanted);
        for _ in 1..TRIES {
            match &answer {
                Err(error) if has_changed(error) => answer = self.answer_once(asked, wanted),
                _ => break,
            }
        }
        let answer = match answer {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            Err(error) => Answer::ours(fault(error)),
            Ok(None) => return Ok(None),
            Ok(Some(answer)) => answer,
        };
        let Answer { mut response, name } = self.with_error_page(asked, wanted, answer)?;
        if response.status().is_client_error() || response.status().is_server_error() {
            respond::no_sniff(&mut response);
        }
        let (path, name) = (wanted.path.as_deref(), name.as_deref());
        header_rules::apply(&self.options.headers, &mut response, path, name);
        Ok(Some(response))
    }

    fn answer_once<'w>(
        &self,
        asked: &Asked<'_>,
        wanted: &'w Wanted<'_>,
    ) -> io::Result<Option<Answer<'w>>> {
        let name = match &wanted.target {
            Target::Name(name) => name.as_bytes(),
            Target::NoName(_) => return self.answer_nothing(asked, wanted),
            Target::Unreadable(error) => {
                let location = match error {
                    PathError::EmptySegment => {
                        redirect::single_slashes(asked.uri, asked.is_whole_path)
                    }
                    _ => None,
                };
                let response = location.map_or_else(|| error.into_response(), respond::redirect);
                return Ok(Some(Answer::ours(response)));
            }
            Target::NotRead => {
                let response = match *asked.method {
                    Method::OPTIONS => respond::options(),
                    _ => respond::method_not_allowed(asked.method),
                };
                return Ok(Some(Answer::ours(response)));
            }
        };
        if let Some(answer) = self.apply_redirects(asked, wanted, true)? {
            return Ok(Some(answer));
        }
        let location = match self.find(asked, name, wanted.has_slash)? {
            Found::File(_, name) if is_refused(&self.source, &name, asked.wait)? => None,
            Found::File(stored, name) => {
                let response = self.send(asked, stored, &name, Page::Itself)?;
                let name = Some(name);
                return Ok(Some(Answer { response, name }));
            }
            Found::Listing(name) => {
                let format = Format::of(asked.uri.query());
                let response = match format.filter(|_| self.options.archives.is_some()) {
                    Some(format) => Ok(archive::respond(self, name, format)),
                    None => self.list(asked, name),
                };
                match response {
                    Ok(response) => return Ok(Some(Answer::ours(response))),
                    // The folder, or a link on the way to it, was removed or changed after it was found.
                    Err(error) if is_missing(&error) => None,
                    Err(error) => return Err(error),
                }
            }
            Found::Directory => redirect::with_slash(asked.uri, asked.is_whole_path),
            Found::Page => redirect::without_slash(asked.uri, asked.is_whole_path),
            Found::Nothing => None,
        };
        match location {
            Some(location) => Ok(Some(Answer::ours(respond::redirect(location)))),
            None => self.answer_nothing(asked, wanted),
        }
    }

    /// Lists a directory without the entries that are refused.
    pub(crate) fn listed(&self, name: &[u8]) -> io::Result<Vec<Listed>> {
        let mut entries = self.source.list(name)?;
        entries.retain(|entry| {
            Name::allows(&entry.name, self.options.dotfiles)
                && !matches!(&*entry.name, b"" | b"." | b"..")
                && !self.options.hides(&below(name, &entry.name))
        });
        Ok(entries)
    }

    /// Answers with what is in a directory.
    fn list(&self, asked: &Asked<'_>, name: &[u8]) -> io::Result<Response> {
        if asked.wait == Wait::Never {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let entries = self.listed(name)?;
        let readme = match self.options.readme {
            true => readme::of(&entries).and_then(|entry| {
                let stored = self.open(&below(name, &entry.name), asked.wait);
                match stored {
                    Ok(Some(Entry::File(stored))) => readme::html(&entry.name, &stored),
                    _ => None,
                }
            }),
            false => None,
        };
        let listing = Listing {
            name,
            entries,
            readme,
            has_archives: self.options.archives.is_some(),
        };
        Ok(listing.respond(asked.headers, asked.uri.query()))
    }

    /// The answer where there is no file: a page that stands for it, a 404, or another app's.
    fn answer_nothing<'w>(
        &self,
        asked: &Asked<'_>,
        wanted: &Wanted<'_>,
    ) -> io::Result<Option<Answer<'w>>> {
        if let Some(answer) = self.apply_redirects(asked, wanted, false)? {
            return Ok(Some(answer));
        }
        if let Some(page) = &self.options.spa
            && wanted.is_route(asked)
            && let Some(Entry::File(stored)) = self.open(page.as_bytes(), asked.wait)?
        {
            let response = self.send(asked, stored, page.as_bytes(), Page::App)?;
            let name = Some(Cow::Owned(page.as_bytes().to_vec()));
            return Ok(Some(Answer { response, name }));
        }
        if !wanted.is_last {
            return Ok(None);
        }
        let mut response = match wants_page(asked.headers) {
            true => listing::not_found(),
            false => status_page(StatusCode::NOT_FOUND),
        };
        *response.status_mut() = StatusCode::NOT_FOUND;
        response.headers_mut().insert(VARY, ACCEPT.into());
        Ok(Some(Answer::ours(response)))
    }

    /// The answer of the first redirect rule that matches: of those that come before files, or of the others.
    fn apply_redirects<'w>(
        &self,
        asked: &Asked<'_>,
        wanted: &Wanted<'_>,
        is_forced: bool,
    ) -> io::Result<Option<Answer<'w>>> {
        // A name that no file can have could be read in another way by the target.
        let (Target::Name(_), Some(path)) = (&wanted.target, &wanted.path) else {
            return Ok(None);
        };
        let prefix = wanted.prefix.as_deref();
        let rules = self.options.redirects.iter();
        let mut effects = rules
            .filter(|rule| rule.is_forced == is_forced)
            .filter_map(|rule| rule.effect(path, prefix, asked.uri.query()));
        match effects.next() {
            None => Ok(None),
            Some(Effect::Redirect(status, location)) => {
                let response = respond::redirect_as(status, location);
                Ok(Some(Answer::ours(response)))
            }
            Some(Effect::Send(status, name, has_slash)) => {
                let Found::File(stored, name) = self.find(asked, &name, has_slash)? else {
                    return Ok(None);
                };
                let page = match status {
                    StatusCode::OK => Page::Itself,
                    status => Page::Error(status),
                };
                let response = self.send(asked, stored, &name, page)?;
                let name = Some(Cow::Owned(name.into_owned()));
                Ok(Some(Answer { response, name }))
            }
        }
    }

    /// Puts the page of its status in the place of an error; what programs read of the error stays.
    fn with_error_page<'w>(
        &self,
        asked: &Asked<'_>,
        wanted: &Wanted<'_>,
        error: Answer<'w>,
    ) -> io::Result<Answer<'w>> {
        let status = error.response.status();
        let Some(page) = self.options.error_page(status) else {
            return Ok(error);
        };
        let found = match wanted.folder() {
            Some(folder) if self.options.nearest_not_found && status == StatusCode::NOT_FOUND => {
                self.nearest(asked, folder, page.as_bytes())
            }
            _ => self.open_file(page.as_bytes(), asked.wait),
        };
        let (stored, name) = match found {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            Ok(Some(found)) => found,
            // A page that is not there is no reason to hide the error.
            _ => return Ok(error),
        };
        let mut response = match self.send(asked, stored, &name, Page::Error(status)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            Err(_) => return Ok(error),
            Ok(response) => response,
        };
        let (head, _) = error.response.into_parts();
        for kept in [ALLOW, CONTENT_RANGE, RETRY_AFTER] {
            if let Some(value) = head.headers.get(&kept) {
                response.headers_mut().insert(kept, value.clone());
            }
        }
        response.extensions_mut().extend(head.extensions);
        let name = Some(Cow::Owned(name));
        Ok(Answer { response, name })
    }

    /// Looks for `page` from `folder` up to the root. Only folders that exist are looked into, so that a path of many
    /// segments costs nothing.
    fn nearest(
        &self,
        asked: &Asked<'_>,
        folder: &[u8],
        page: &[u8],
    ) -> io::Result<Option<(Stored, Vec<u8>)>> {
        let mut found = self.open_file(page, asked.wait)?;
        let ends = folder.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for end in ends.map(|(at, _)| at).chain([folder.len()]) {
            let folder = &folder[..end];
            if folder.is_empty() {
                continue;
            }
            if !matches!(self.open(folder, asked.wait), Ok(Some(Entry::Directory))) {
                break;
            }
            let nearer = self.open_file(&below(folder, page), asked.wait)?;
            found = nearer.or(found);
        }
        Ok(found)
    }

    fn open_file(&self, name: &[u8], wait: Wait) -> io::Result<Option<(Stored, Vec<u8>)>> {
        match self.open(name, wait)? {
            Some(Entry::File(stored)) => Ok(Some((stored, name.to_vec()))),
            _ => Ok(None),
        }
    }

    /// Answers with the file called `name`, or with its best sidecar.
    fn send(
        &self,
        asked: &Asked<'_>,
        stored: Stored,
        name: &[u8],
        page: Page,
    ) -> io::Result<Response> {
        let kind = FileKind::of(&self.options, name, &stored, asked.wait)?;
        let (status, cache_control) = match page {
            Page::Itself | Page::App => (
                StatusCode::OK,
                self.options.cache_control(name, &kind.content_type),
            ),
            // The rules are for the file, which is not the answer here. A deploy may bring what is missing.
            Page::Error(status) => (status, Some(NO_CACHE)),
        };
        let mut file = Representation {
            stored,
            made: None,
            status,
            content_type: kind.content_type,
            encoding: None,
            varies_by_coding: false,
            varies_by_type: self.options.spa.is_some() && page != Page::Itself,
            cache_control,
        };
        // The server in front would drop the coding that a file is stored in.
        if let (Some(hand_over), Page::Itself | Page::App, None) =
            (&self.options.hand_over, page, &kind.coding)
        {
            let path = file.stored.path();
            if let Some(header) = path.and_then(|path| hand_over.header(name, path)) {
                return Ok(respond::handed_over(header, file));
            }
        }
        if let Some(coding) = &kind.coding {
            coding.apply(asked, &mut file);
        }
        if kind.may_have_sidecars {
            self.encode(asked, &mut file, name)?;
        }
        respond(asked, file)
    }

    fn find<'n>(
        &self,
        asked: &Asked<'_>,
        name: &'n [u8],
        has_slash: bool,
    ) -> io::Result<Found<'n>> {
        if self.options.hides(name) {
            return Ok(Found::Nothing);
        }
        let is_folder = match self.open(name, asked.wait)? {
            Some(Entry::File(_)) if has_slash => return Ok(Found::Nothing),
            Some(Entry::File(stored)) => return Ok(Found::File(stored, Cow::Borrowed(name))),
            Some(Entry::Directory) => true,
            None => false,
        };
        // A folder with an index file comes before a page beside it, and a page before a list.
        if is_folder && let Some((stored, page)) = self.find_index(asked, name)? {
            return Ok(match has_slash {
                true => Found::File(stored, Cow::Owned(page)),
                false => Found::Directory,
            });
        }
        if self.options.clean_urls
            && !name.is_empty()
            && let Some((stored, page)) = self.find_page(asked, name)?
        {
            return Ok(match has_slash {
                true => Found::Page,
                false => Found::File(stored, Cow::Owned(page)),
            });
        }
        Ok(match (is_folder && self.options.listing, has_slash) {
            (true, true) => Found::Listing(name),
            (true, false) => Found::Directory,
            (false, _) => Found::Nothing,
        })
    }

    /// Looks for `about.html` where `about` was asked for.
    fn find_page(&self, asked: &Asked<'_>, name: &[u8]) -> io::Result<Option<(Stored, Vec<u8>)>> {
        let name = [name, b".html"].concat();
        match self.options.hides(&name) {
            true => Ok(None),
            false => self.open_file(&name, asked.wait),
        }
    }

    /// Looks for the file that stands for the directory `name`.
    fn find_index(&self, asked: &Asked<'_>, name: &[u8]) -> io::Result<Option<(Stored, Vec<u8>)>> {
        for index in &self.options.index {
            let page = below(name, index.as_bytes());
            if self.options.hides(&page) {
                continue;
            }
            if let Some(found) = self.open_file(&page, asked.wait)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Opens a name; `None` when there is nothing.
    fn open(&self, name: &[u8], wait: Wait) -> io::Result<Option<Entry>> {
        match self.source.open(name, wait) {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts the best sidecar in the place of `file`, which is of a type that shrinks, if there is one.
    fn encode(&self, asked: &Asked<'_>, file: &mut Representation, name: &[u8]) -> io::Result<()> {
        file.varies_by_coding = true;
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
            // The source of a file without a tag does not tell its versions apart.
            match file.stored.tag {
                Some(_) => sidecar.tag_coding(coding.token()),
                None => sidecar.tag = None,
            }
            file.stored = sidecar;
            file.encoding = Some(coding.token());
            break;
        }
        Ok(())
    }
}

/// The target of a request and how it was written.
struct Wanted<'a> {
    target: Target<'a>,
    has_slash: bool,
    /// Whether there is no other app to ask.
    is_last: bool,
    /// The path for the rules, without the slash at its start: `None` when it could be read in two ways, empty when there
    /// are no rules.
    path: Option<Vec<u8>>,
    /// The prefix of the mount for redirect rules, `None` when it is not known.
    prefix: Option<String>,
}

/// The meaning of a path.
enum Target<'a> {
    Name(Name<'a>),
    /// No file is called that.
    NoName(NoName),
    /// The path could be read in two ways.
    Unreadable(PathError),
    /// The method is neither GET nor HEAD, so no file is asked for.
    NotRead,
}

impl<'a> Wanted<'a> {
    fn of(request: &'a Request, options: &Options, is_last: bool) -> Self {
        let view = PathView::of(request);
        let path = match &view {
            _ if options.headers.is_empty() && options.redirects.is_empty() => Some(Vec::new()),
            Ok(view) => Some(path_of(view)),
            Err(PathError::EmptySegment) => redirect::merged(Mount::rest_of(request))
                .and_then(|path| PathView::parse(&path).ok().map(|view| path_of(&view))),
            Err(_) => None,
        };
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let target = match &view {
            _ if !is_read => Target::NotRead,
            Ok(view) => match Name::of(view, options.dotfiles) {
                Ok(name) => Target::Name(name),
                Err(reason) => Target::NoName(reason),
            },
            Err(error) => Target::Unreadable(*error),
        };
        Self {
            target,
            has_slash: view.is_ok_and(|view| view.has_trailing_slash()),
            is_last,
            path,
            prefix: match UnknownPrefix::of(request) {
                Some(_) => None,
                None if options.redirects.is_empty() => Some(String::new()),
                None => {
                    let rest = Mount::rest_of(request);
                    let prefix = request.uri().path().strip_suffix(rest);
                    Some(prefix.unwrap_or_default().to_owned())
                }
            },
        }
    }

    fn into_owned(self) -> Wanted<'static> {
        Wanted {
            target: match self.target {
                Target::Name(name) => Target::Name(name.into_owned()),
                Target::NoName(reason) => Target::NoName(reason),
                Target::Unreadable(error) => Target::Unreadable(error),
                Target::NotRead => Target::NotRead,
            },
            has_slash: self.has_slash,
            is_last: self.is_last,
            path: self.path,
            prefix: self.prefix,
        }
    }

    /// Whether the path is a route of a single-page app, and the client wants its page.
    ///
    /// A path that was refused for its dots is not a route, and below `/.well-known/` programs expect a 404.
    fn is_route(&self, asked: &Asked<'_>) -> bool {
        let is_one = match &self.target {
            Target::Name(name) => {
                name.as_bytes().split(|&byte| byte == b'/').next() != Some(WELL_KNOWN)
            }
            Target::NoName(reason) => *reason == NoName::NotAFile,
            Target::Unreadable(_) | Target::NotRead => false,
        };
        let is_bare = || !has_extension(asked.uri.path());
        is_one
            && (wants_page(asked.headers)
                || (self.is_last && takes_anything(asked.headers) && is_bare()))
    }

    /// The folder that was asked for, or that a file was asked for in.
    fn folder(&self) -> Option<&[u8]> {
        let Target::Name(name) = &self.target else {
            return None;
        };
        let name = name.as_bytes();
        let slash = name.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        Some(if self.has_slash { name } else { &name[..slash] })
    }
}

/// The decoded path without the slash at its start.
fn path_of(view: &PathView<'_>) -> Vec<u8> {
    let mut path = view.segments().collect::<Vec<_>>().join(&b'/');
    if view.has_trailing_slash() && !path.is_empty() {
        path.push(b'/');
    }
    path
}

/// The name of `own` in the directory `folder`.
pub(crate) fn below(folder: &[u8], own: &[u8]) -> Vec<u8> {
    match folder {
        b"" => own.to_vec(),
        _ => [folder, own].join(&b'/'),
    }
}

/// An answer, and the name of the file that it is.
struct Answer<'a> {
    response: Response,
    name: Option<Cow<'a, [u8]>>,
}

impl Answer<'_> {
    /// One that is not a file.
    const fn ours(response: Response) -> Self {
        Self {
            response,
            name: None,
        }
    }
}

/// As what a file is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    /// As what was asked for.
    Itself,
    /// As the page of a single-page app.
    App,
    /// As the page of an error.
    Error(StatusCode),
}

/// What a name stands for.
enum Found<'n> {
    /// A file, and the name that its type is told from.
    File(Stored, Cow<'n, [u8]>),
    /// A directory that has a page, named without its slash.
    Directory,
    /// A directory that is to be listed.
    Listing(&'n [u8]),
    /// A page that was asked for with a slash.
    Page,
    Nothing,
}

/// Whether a sidecar was made after its file was changed, as far as they have dates, and holds something.
pub(crate) fn is_fresh(sidecar: &Stored, file: &Stored) -> bool {
    let is_later = match (sidecar.modified, file.modified) {
        (Some(sidecar), Some(file)) => sidecar >= file,
        (None, Some(_)) => false,
        (_, None) => true,
    };
    is_later && sidecar.length > 0
}

/// Whether an error says that a file is not what it was when it was opened.
fn has_changed(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|cause| cause.is::<FileChanged>())
}

/// Whether an error of opening says that there is no such file, or none that may be served.
pub(crate) fn is_missing(error: &io::Error) -> bool {
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
pub(crate) fn fault(error: io::Error) -> Response {
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
pub(crate) fn without_bytes(response: Response) -> Response {
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
            .field("options", &self.files.options)
            .field("or", &self.or)
            .finish()
    }
}

/// The pattern of a rule that is written in a program.
///
/// # Panics
///
/// With the fix, when it is wrong.
fn expect_glob(glob: Result<Glob, GlobError>) -> Glob {
    match glob {
        Ok(glob) => glob,
        Err(error) => panic!("{error}"),
    }
}

/// How often a file is opened that is another one each time when it has been read.
const TRIES: usize = 8;
