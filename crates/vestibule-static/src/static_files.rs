//! The app that serves files.

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
use crate::respond::{self, NO_CACHE, Representation, RequestParts, respond, status_page};
use crate::sidecar_rights::is_refused;
use crate::source::{Entry, Listed, Source, Stored, Wait};

/// Serves files.
///
/// | request | response |
/// |---|---|
/// | GET of a file | 200, or 206, 304, 412, 416 by its conditions and ranges |
/// | HEAD | the same headers, no body |
/// | a directory with an index file, without its slash | 308 to the same path with a slash, with its query |
/// | a path whose only fault is empty segments, such as `/a//b` | 308 to the path with single slashes, with its query |
/// | a missing or refused file | 404, with a page for browsers; or the app given to [`or`](Self::or) |
/// | an ambiguous path | 400 (see [`PathView`]) |
/// | a file without read permission, or a sidecar of one (`a.txt.gz`) | 403 |
/// | OPTIONS | 204 with `Allow` |
/// | other methods | 405 with `Allow`, or the app given to [`or`](Self::or) |
/// | methods that are not registered with IANA | 501, or the app given to [`or`](Self::or) |
///
/// Each 308 has `Cache-Control: no-cache`. Below a [`Mount`], the name is the part after its
/// prefix.
///
/// Reads `Accept-Encoding`, `If-Match`, `If-None-Match`, `If-Modified-Since`,
/// `If-Unmodified-Since`, `If-Range` and `Range`. Writes `Content-Type`, `Content-Length`, `ETag`,
/// `Last-Modified`, `Accept-Ranges`, `Content-Range`, `Content-Encoding`, `Vary`, `Cache-Control`,
/// `Location`, `Allow` and `X-Content-Type-Options`.
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

/// The state that a thread of the blocking pool needs.
#[derive(Clone)]
pub(crate) struct Files<S> {
    pub(crate) source: S,
    pub(crate) options: Options,
}

impl StaticFiles {
    /// Returns whether [`header`](Self::header) accepts a header name. Use it for names from users.
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
    /// If the folder does not exist, no file is found until it is created;
    /// [`try_new`](Self::try_new) fails at once.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::from_source(Directory::new(path))
    }

    /// Serves the files below the folder at `path`.
    ///
    /// # Errors
    ///
    /// Fails when the folder does not exist or cannot be opened.
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

    /// Sets the treatment of symbolic links. Defaults to [`Symlinks::Beneath`].
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

    /// Passes unanswered requests to another app: GET and HEAD of missing or refused files, and all
    /// requests with other methods, since files can only be read.
    ///
    /// The app gets the original request with its mount.
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

    /// Sets the names of index files; the first that exists is used. Defaults to `index.html`. An
    /// empty list means none.
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

    /// Sets whether files and folders with a leading dot in their names are served. Defaults to
    /// `false`. Files below `/.well-known/` are always served (RFC 8615).
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

    /// Sets whether clients that accept the coding get `app.js.br`, `app.js.zst` or `app.js.gz`
    /// instead of `app.js`. Defaults to `false`.
    ///
    /// Applies to compressible types only. A sidecar that is older than its file is ignored, and so
    /// is a zstd sidecar that browsers refuse (RFC 9659). Each sidecar has its own entity tag and
    /// ranges, and all responses of such types have `Vary: Accept-Encoding`. Costs an attempt to
    /// open a file for each coding that the client prefers.
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

    /// Sets whether directories without an index file are listed. Defaults to `false`.
    ///
    /// The listing is a page that sorts by name, size and date without scripts. Clients that prefer
    /// JSON (`Accept: application/json`) get
    /// `{"path":"/","entries":[{"name":"a.txt","type":"file","href":"./a.txt","size":10,
    /// "modified":"1994-11-06T08:49:37Z"}]}`. Refused files are not listed. Directories are read in
    /// the blocking pool.
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

    /// Sets whether `/about` is answered with `about.html` when there is no `about`. Defaults to
    /// `false`.
    ///
    /// A page takes precedence over the listing of a folder: with `blog.html` and a folder `blog`
    /// without an index file, `/blog` is the page, and `/blog/` is redirected to it. A folder with
    /// an index file takes precedence over a page.
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

    /// Responds with `page` to navigations to missing paths, for single-page apps.
    ///
    /// GET and HEAD get the page when `Accept` names `text/html`. If [`or`](Self::or) has no app,
    /// paths without an extension also get it for `Accept: */*` or without `Accept`, as `curl` and
    /// crawlers send. Scripts, images and data get a 404. Paths that no file can have, such as
    /// `/repo/owner%2Fname` or a token of more than 255 characters, are routes as well.
    ///
    /// Names with a leading dot stay 404 (see [`dotfiles`](Self::dotfiles)), and so do all paths
    /// below `/.well-known/`, where clients expect a 404. The page takes precedence over the app
    /// given to [`or`](Self::or). The responses have `Vary: Accept` and `Cache-Control: no-cache`;
    /// see [`hashed_names`](Self::hashed_names).
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

    /// Sends `page` with each 404. This is [`error_page`](Self::error_page) for this status.
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

    /// Sends `page` with each error of a status, such as 403, 404 or 500. Defaults to a line of
    /// text.
    ///
    /// The page is a file of this source. It is sent without validators, and conditions and ranges
    /// of the request do not apply to it. If it cannot be opened, the line of text is sent.
    /// Responses of the app given to [`or`](Self::or) are not changed.
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
    /// Panics when `status` is not an error: 400 to 599.
    #[must_use]
    pub fn error_page(mut self, status: StatusCode, page: impl Into<Cow<'static, str>>) -> Self {
        assert!(
            status.is_client_error() || status.is_server_error(),
            "{status} is not an error: use 400 to 599"
        );
        self.options().error_pages.push((status, page.into()));
        self
    }

    /// Sets whether the page of a 404 is searched in the requested folder, then in each folder
    /// above it. Defaults to `false`: only the root is searched.
    ///
    /// The page has the name from [`not_found`](Self::not_found), or `404.html`. Costs two attempts
    /// to open a file for each existing folder of the path.
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

    /// Hides files whose names match a [`Glob`]: they are not served, not listed and not indexed.
    ///
    /// Also hides everything below a hidden folder, and each compressed copy (`.br`, `.zst`, `.gz`)
    /// of a hidden file. The target of a link has a second name, which may match or not. A hidden
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

    /// Sets whether a listed folder can be downloaded as one file: `?archive=tar` or
    /// `?archive=zip`. Defaults to `false`, since any client can then make the server read the
    /// whole folder.
    ///
    /// The archive has the files in the listings of the folder and of its subfolders. It is built
    /// while it is sent, in bounded memory, without compression and without a length. A file that
    /// grows is sent with the length that it had when it was opened. A file that is truncated or
    /// cannot be read ends the body with an error. A file that may not be opened is left out.
    ///
    /// Links to folders are followed once. At most four archives are built at a time. Has no effect
    /// without [`listing`](Self::listing).
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
    /// The first of `README.md`, `README.markdown`, `README.txt` and `README` is used, in any case.
    /// It must be readable, at most 256 KiB, and UTF-8. Markdown is shown in the form that most
    /// READMEs use: headings, lists, code, links, emphasis, quotes. HTML in it is shown as text.
    /// Has no effect without [`listing`](Self::listing).
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

    /// Sets the media type of files by an extension or a [`Glob`]. The last matching rule applies.
    ///
    /// A word without `.`, `/` and wildcards is an extension, in any case, and also a whole file
    /// name: `ts` matches `clip.ts` and `clip.TS`, `LICENSE` matches a file with this name.
    /// Everything else is a pattern: `*.tar.gz`, `/api/**`.
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
    /// Panics when `pattern` can never match a name ([`Glob::try_new_or_extension`]), or when
    /// `media_type` is not a media type.
    #[must_use]
    pub fn media_type<V: TryInto<HeaderValue>>(mut self, pattern: &str, media_type: V) -> Self {
        let glob = expect_glob(Glob::try_new_or_extension(pattern));
        let rule = (glob, options::media_type_value(media_type));
        self.options().media_types.push(rule);
        self
    }

    /// Adds files that are stored in a content coding, by an extension or a [`Glob`]. Defaults to
    /// none; `.svgz` files are always sent in gzip.
    ///
    /// Games, map tiles and similar data are published as `game.framework.js.gz` and requested by
    /// this name. A client that accepts the coding gets `text/javascript` with `Content-Encoding:
    /// gzip`, and decodes it. Other clients get the stored bytes as `application/gzip`. Both
    /// responses have `Vary: Accept-Encoding` and different entity tags; ranges apply to the stored
    /// bytes.
    ///
    /// The coding comes from `.gz`, `.br` or `.zst` at the end of the name. Without such a suffix
    /// (`tiles/3/4/2.pbf`), it comes from the first bytes, for gzip and zstd; a file without their
    /// magic number is sent without a coding. Archives and disk images are never decoded:
    /// `backup.tar.gz` stays a download.
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
    /// Panics when `pattern` can never match a name, or matches only archives
    /// ([`Glob::try_stored_encoded`]).
    #[doc(alias("content-encoding", "unity", "svgz", "gzip_static"))]
    #[must_use]
    pub fn stored_encoded(mut self, pattern: &str) -> Self {
        let glob = expect_glob(Glob::try_stored_encoded(pattern));
        self.options().stored_encoded.push(glob);
        self
    }

    /// Sets `Cache-Control` on files whose names match a [`Glob`]. The last matching rule applies.
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
    /// Panics when `pattern` can never match a name ([`Glob::try_new`]), or when `value` is not a
    /// valid header value.
    #[must_use]
    pub fn cache_control<V: TryInto<HeaderValue>>(mut self, pattern: &str, value: V) -> Self {
        let rule = (expect_glob(Glob::try_new(pattern)), options::value(value));
        self.options().cache.push(rule);
        self
    }

    /// Sets whether files with a hash in their names are sent with `Cache-Control: public,
    /// max-age=31536000, immutable`. Defaults to `false`. See
    /// [`has_hashed_name`](crate::has_hashed_name) for the names.
    ///
    /// All other files then have `Cache-Control: no-cache`, except images, fonts, sound and video:
    /// pages, scripts and data must not be older than the files that a deploy has removed.
    /// [`spa`](Self::spa) has the same effect. Rules of [`cache_control`](Self::cache_control) take
    /// precedence.
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

    /// Sets a header on all responses whose path or file name matches a [`Glob`].
    ///
    /// Includes errors, redirects, listings and responses to OPTIONS. `Expires` and the headers
    /// that describe content (`Content-Language`, `Content-Disposition` and so on, not
    /// `Content-Security-Policy`) are set only on 200, 206 and 304. The path is the part below the
    /// mount; an ambiguous path (400) matches `*` and `/**`. Responses of the app given to
    /// [`or`](Self::or) have none of these headers. Listings and the built-in 404 page keep their
    /// own `Content-Security-Policy`.
    ///
    /// All matching rules apply; later rules replace earlier ones for the same header.
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
    /// Panics when `pattern` can never match a name ([`Glob::try_new`]), when `name` is not a
    /// header name, or when `value` is not a valid header value. Also panics for headers that
    /// describe the bytes and the response (`Content-Length`, `Content-Range`, `ETag` and so on),
    /// which cannot be set here.
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

    /// Adds the rules of a `_headers` file after the existing rules. They apply to the same
    /// responses as those of [`header`](Self::header).
    ///
    /// The rule file itself is served unless it is hidden: `hide("/_headers")`. See [`HeaderRules`]
    /// for an example.
    #[must_use]
    pub fn header_rules(mut self, rules: HeaderRules) -> Self {
        self.options().headers.extend(rules.rules);
        self
    }

    /// Adds the rules of a `_redirects` file after the existing rules. They take precedence over
    /// [`spa`](Self::spa), [`not_found`](Self::not_found) and [`or`](Self::or).
    ///
    /// The rule file itself is served unless it is hidden: `hide("/_redirects")`. See
    /// [`RedirectRules`] for an example.
    #[must_use]
    pub fn redirect_rules(mut self, rules: RedirectRules) -> Self {
        self.options().redirects.extend(rules.rules);
        self
    }

    /// Lets the server in front send the bytes: the response has status 200, the type and the name
    /// of the file, and no bytes.
    ///
    /// That server applies conditions, ranges, sidecars and its own entity tags. It also chooses
    /// the headers of its response (nginx keeps `Content-Type`, `Cache-Control` and a few others of
    /// this app). Error pages, files that are stored in a content coding, and files that are not on
    /// disk are sent normally. Use it only for apps that are reachable only through that server.
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

    /// Returns the response; `None` when there is no such file and another app is configured.
    async fn answer(&self, request: &Request) -> Option<Response> {
        let asked = RequestParts {
            method: request.method(),
            uri: request.uri(),
            is_whole_path: UnknownPrefix::of(request).is_none(),
            headers: request.headers(),
            now: SystemTime::now().into(),
            wait: Wait::Never,
        };
        let wanted = RequestTarget::of(request, &self.files.options, self.or.is_none());
        match self.files.answer(&asked, &wanted) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Other errors become a response.
            answer => return answer.unwrap_or_else(|error| Some(fault(error))),
        }
        let wanted = wanted.into_owned();
        let answer = self.answer_in_pool(&asked, wanted).await;
        answer.unwrap_or_else(|error| Some(fault(error)))
    }

    /// Starts again on a thread that may wait. One call to the pool does all remaining work.
    async fn answer_in_pool(
        &self,
        asked: &RequestParts<'_>,
        wanted: RequestTarget<'static>,
    ) -> io::Result<Option<Response>> {
        let wait = Wait::Allowed;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return self.files.answer(&RequestParts { wait, ..*asked }, &wanted);
        };
        let files = self.files.clone();
        let (method, uri) = (asked.method.clone(), asked.uri.clone());
        let (headers, now) = (asked.headers.clone(), asked.now);
        let is_whole_path = asked.is_whole_path;
        let answer = runtime.spawn_blocking(move || {
            let asked = RequestParts {
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
            // Without another app there is always a response.
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
    /// Returns the response with the headers of the rules; `None` when there is no such file and
    /// another app is configured.
    ///
    /// A file that was renamed or written to while it was read is opened again: none of it has been
    /// sent yet.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the response needs the disk. All other errors become a response.
    fn answer(
        &self,
        asked: &RequestParts<'_>,
        wanted: &RequestTarget<'_>,
    ) -> io::Result<Option<Response>> {
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
        asked: &RequestParts<'_>,
        wanted: &'w RequestTarget<'_>,
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
                    // The folder, or a link on the path to it, was removed or changed after it was
                    // found.
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

    /// Lists a directory without refused entries.
    pub(crate) fn listed(&self, name: &[u8]) -> io::Result<Vec<Listed>> {
        let mut entries = self.source.list(name)?;
        entries.retain(|entry| {
            Name::allows(&entry.name, self.options.dotfiles)
                && !matches!(&*entry.name, b"" | b"." | b"..")
                && !self.options.hides(&below(name, &entry.name))
        });
        Ok(entries)
    }

    /// Responds with a listing of a directory.
    fn list(&self, asked: &RequestParts<'_>, name: &[u8]) -> io::Result<Response> {
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

    /// Responds where there is no file: with a page, a 404, or the response of another app.
    fn answer_nothing<'w>(
        &self,
        asked: &RequestParts<'_>,
        wanted: &RequestTarget<'_>,
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

    /// Returns the response of the first matching redirect rule, either of those that precede files
    /// or of the others.
    fn apply_redirects<'w>(
        &self,
        asked: &RequestParts<'_>,
        wanted: &RequestTarget<'_>,
        is_forced: bool,
    ) -> io::Result<Option<Answer<'w>>> {
        // The target of a redirect could interpret a name that no file can have.
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

    /// Replaces the body of an error with the page of its status; the extensions of the error stay.
    fn with_error_page<'w>(
        &self,
        asked: &RequestParts<'_>,
        wanted: &RequestTarget<'_>,
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
            // A missing page does not hide the error.
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

    /// Searches `page` from `folder` up to the root. Reads only existing folders, so that a path of
    /// many segments costs nothing.
    fn nearest(
        &self,
        asked: &RequestParts<'_>,
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

    /// Responds with the file called `name`, or with its best sidecar.
    fn send(
        &self,
        asked: &RequestParts<'_>,
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
            // The rules are for the requested file, not for this page. A deploy may add the missing
            // file.
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
        // The server in front would drop the stored content coding.
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
        asked: &RequestParts<'_>,
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
        // A folder with an index file takes precedence over a page beside it, and a page over a
        // listing.
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

    /// Finds `about.html` for `about`.
    fn find_page(
        &self,
        asked: &RequestParts<'_>,
        name: &[u8],
    ) -> io::Result<Option<(Stored, Vec<u8>)>> {
        let name = [name, b".html"].concat();
        match self.options.hides(&name) {
            true => Ok(None),
            false => self.open_file(&name, asked.wait),
        }
    }

    /// Finds the index file of the directory `name`.
    fn find_index(
        &self,
        asked: &RequestParts<'_>,
        name: &[u8],
    ) -> io::Result<Option<(Stored, Vec<u8>)>> {
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

    /// Opens a name; `None` when it does not exist.
    fn open(&self, name: &[u8], wait: Wait) -> io::Result<Option<Entry>> {
        match self.source.open(name, wait) {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces `file`, which has a compressible type, with its best sidecar, if there is one.
    fn encode(
        &self,
        asked: &RequestParts<'_>,
        file: &mut Representation,
        name: &[u8],
    ) -> io::Result<()> {
        file.varies_by_coding = true;
        for coding in coding::wanted(asked.headers) {
            let name = [name, coding.suffix().as_bytes()].concat();
            let mut sidecar = match self.open(&name, asked.wait) {
                Ok(Some(Entry::File(sidecar))) => sidecar,
                Ok(_) => continue,
                // A sidecar without read permission does not hide the file.
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
            // A source that gives a file no tag does not distinguish its versions.
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

/// The target of a request and its spelling.
struct RequestTarget<'a> {
    target: Target<'a>,
    has_slash: bool,
    /// Whether no other app is configured.
    is_last: bool,
    /// The path for the rules, without its leading slash: `None` when it is ambiguous, empty when
    /// there are no rules.
    path: Option<Vec<u8>>,
    /// The prefix of the mount for redirect rules, `None` when it is unknown.
    prefix: Option<String>,
}

/// The meaning of a path.
enum Target<'a> {
    Name(Name<'a>),
    /// No file can have this name.
    NoName(NoName),
    /// The path is ambiguous.
    Unreadable(PathError),
    /// The method is neither GET nor HEAD, so no file is read.
    NotRead,
}

impl<'a> RequestTarget<'a> {
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

    fn into_owned(self) -> RequestTarget<'static> {
        RequestTarget {
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

    /// Returns whether the path is a route of a single-page app, and the client wants its page.
    ///
    /// A path that was refused for a leading dot is not a route, and below `/.well-known/` programs
    /// expect a 404.
    fn is_route(&self, asked: &RequestParts<'_>) -> bool {
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

    /// Returns the requested folder, or the folder of the requested file.
    fn folder(&self) -> Option<&[u8]> {
        let Target::Name(name) = &self.target else {
            return None;
        };
        let name = name.as_bytes();
        let slash = name.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        Some(if self.has_slash { name } else { &name[..slash] })
    }
}

/// Returns the decoded path without its leading slash.
fn path_of(view: &PathView<'_>) -> Vec<u8> {
    let mut path = view.segments().collect::<Vec<_>>().join(&b'/');
    if view.has_trailing_slash() && !path.is_empty() {
        path.push(b'/');
    }
    path
}

/// Returns the name of `own` in the directory `folder`.
pub(crate) fn below(folder: &[u8], own: &[u8]) -> Vec<u8> {
    match folder {
        b"" => own.to_vec(),
        _ => [folder, own].join(&b'/'),
    }
}

/// A response, and the name of the file that it contains.
struct Answer<'a> {
    response: Response,
    name: Option<Cow<'a, [u8]>>,
}

impl Answer<'_> {
    /// Wraps a response that is not a file.
    const fn ours(response: Response) -> Self {
        Self {
            response,
            name: None,
        }
    }
}

/// The purpose of a file in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    /// The requested file itself.
    Itself,
    /// The page of a single-page app.
    App,
    /// The page of an error.
    Error(StatusCode),
}

/// The item that a name refers to.
enum Found<'n> {
    /// A file, and the name that determines its type.
    File(Stored, Cow<'n, [u8]>),
    /// A directory that has an index page; the name has no slash at its end.
    Directory,
    /// A directory to list.
    Listing(&'n [u8]),
    /// A page, requested with a slash at its end.
    Page,
    Nothing,
}

/// Returns whether a sidecar was written after its file was changed, as far as they have dates, and
/// is not empty.
pub(crate) fn is_fresh(sidecar: &Stored, file: &Stored) -> bool {
    let is_later = match (sidecar.modified, file.modified) {
        (Some(sidecar), Some(file)) => sidecar >= file,
        (None, Some(_)) => false,
        (_, None) => true,
    };
    is_later && sidecar.length > 0
}

/// Returns whether an error means that a file has changed since it was opened.
fn has_changed(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|cause| cause.is::<FileChanged>())
}

/// Returns whether an open error means that the file does not exist or may not be served.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        // A link that leads out or in circles, a socket, a missing device.
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

/// Returns the response for a file that exists and cannot be sent: 403, 503 when there are too many
/// open files, else 500.
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

/// Returns the response to HEAD: that to GET without its bytes.
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

/// Unwraps the pattern of a rule that is a constant of the program.
///
/// # Panics
///
/// Panics with the fix when it is wrong.
fn expect_glob(glob: Result<Glob, GlobError>) -> Glob {
    match glob {
        Ok(glob) => glob,
        Err(error) => panic!("{error}"),
    }
}

/// Maximum number of times that a file is opened again because it changed while it was read.
const TRIES: usize = 8;
