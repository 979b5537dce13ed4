//! Encodes responses: [`Compression`].

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Body as _;
use vestibule_core::{
    App, Body, BodyError, IntoResponse, Outcome, Outline, Request, Response, Role,
};
use vestibule_fields::etag::ETag;

use crate::body::{EncodedBody, encode_whole};
use crate::budget::{EncoderBudget, Seat};
use crate::codec::{Size, Spec};
#[cfg(feature = "dictionary")]
use crate::dictionary::{self, Dictionary, DictionaryCoding};
use crate::negotiation::{IsPlainFine, Wanted, wanted};
use crate::peek::peek;
use crate::{Coding, Predicate, Types, policy, validators};

/// Encodes the bodies of responses in the coding that the client prefers.
///
/// Leaves a response unchanged when it has a `Content-Encoding` or `Content-Range`, says `no-transform`,
/// is 1xx, 204, 205, 206 or 304, carries [`Uncompressed`], is of a type that does not shrink ([`Types`]),
/// or is smaller than 860 bytes. The same holds for requests with `no-transform`, and for CONNECT.
///
/// Reads `Accept-Encoding` and `Cache-Control` of the request. Removes the suffixes of codings from the
/// entity tags in `If-None-Match` and `If-Match`. Sets `Content-Encoding`. Adds `Accept-Encoding` to the
/// `Vary` of every response that might have been encoded, and of its 304 and 206. Gives strong entity tags
/// the suffix of the coding (`"v1+gzip"`). Removes `Content-Length`, `Accept-Ranges` and digests.
///
/// A HEAD has the head of its GET where that is known without a body. Where the coding depends on the
/// body or on the free memory, a HEAD has `Vary`, no length, and a weak entity tag.
///
/// A 206 has a part of the plain bytes. A client must not join it with encoded bytes. So `Range` is
/// removed beside an `If-Match` that names encoded bytes, and beside a date in `If-Range` when the client
/// accepts a coding; the response is then the whole body. A tag in `If-Range` distinguishes the two.
///
/// Bodies of at most 256 KiB that are whole in memory are encoded at once and have a `Content-Length`.
/// They stay plain when encoding does not make them smaller. All others are encoded while they are read:
/// event streams and similar types are flushed after each frame, others when the app has nothing ready.
/// At most 32 KiB are encoded before the task yields; slow levels run on the runtime's threads for
/// blocking work. Encoder states are reused. Streams share an [`EncoderBudget`]; when it is used up,
/// further bodies are sent plain. So are bodies of a known size above
/// [`max_size`](Compression::max_size).
///
/// ```
/// use vestibule_compression::Compression;
/// use vestibule_core::{App, IntoResponse, Request, Response};
///
/// async fn page(_: Request) -> Response {
///     ([("content-type", "text/html"), ("etag", "\"v1\"")], "<p>hello</p>".repeat(100)).into_response()
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let app = Compression::new(page);
/// let mut request = Request::default();
/// request.headers_mut().insert("accept-encoding", "gzip, deflate".parse().unwrap());
///
/// let response = app.call(request).await;
/// assert_eq!(response.headers()["content-encoding"], "gzip");
/// assert_eq!(response.headers()["etag"], "\"v1+gzip\"");
/// assert_eq!(response.headers()["vary"], "accept-encoding");
/// assert!(response.body().as_bytes().unwrap().len() < 100);
/// # }
/// ```
///
/// # Secrets
///
/// The size of a compressed body reveals a secret in it when the body also holds text of an attacker
/// (BREACH). Send such bodies with [`Uncompressed`], or make the attack costly with
/// [`padding`](Compression::padding).
#[doc(alias(
    "gzip",
    "deflate",
    "brotli",
    "br",
    "zstd",
    "content-encoding",
    "accept-encoding"
))]
#[derive(Clone)]
pub struct Compression<A> {
    app: A,
    offered: Vec<(Coding, u8)>,
    /// The codings of `offered`, as negotiation reads them.
    codings: Vec<Coding>,
    min_size: u64,
    predicate: Arc<dyn Predicate>,
    is_strict: bool,
    max_padding: u16,
    max_size: u64,
    budget: EncoderBudget,
    #[cfg(feature = "dictionary")]
    dictionaries: Vec<Dictionary>,
}

/// A response extension that keeps the response plain, for example because it contains a secret.
///
/// ```
/// use vestibule_compression::{Compression, Uncompressed};
/// use vestibule_core::{App, IntoResponse, Request, Response};
///
/// async fn form(_: Request) -> Response {
///     let mut response = ([("content-type", "text/html")], "token=...".repeat(1000)).into_response();
///     response.extensions_mut().insert(Uncompressed);
///     response
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mut request = Request::default();
/// request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
/// let response = Compression::new(form).call(request).await;
/// assert!(!response.headers().contains_key("content-encoding"));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Uncompressed;

impl<A: App> Compression<A> {
    /// Wraps `app`. Defaults to all codings whose features are on: zstd, brotli, gzip, deflate, in this
    /// order, at levels for dynamic responses (3, 4, 6, 6).
    pub fn new(app: A) -> Self {
        let offered = Coding::ALL.iter();
        Self {
            app,
            offered: offered
                .map(|coding| (*coding, coding.default_level()))
                .collect(),
            codings: Coding::ALL.to_vec(),
            min_size: MIN_SIZE,
            predicate: Arc::new(Types),
            is_strict: false,
            max_padding: 0,
            max_size: MAX_SIZE,
            budget: EncoderBudget::default(),
            #[cfg(feature = "dictionary")]
            dictionaries: Vec::new(),
        }
    }

    /// Sets the offered codings, the preferred one first. It is chosen when a client accepts several
    /// equally. Defaults to all codings whose features are on.
    ///
    /// ```
    /// use vestibule_compression::{Coding, Compression};
    /// # async fn app(_: vestibule_core::Request) {}
    ///
    /// let gzip_only = Compression::new(app).codings(&[Coding::Gzip]);
    /// ```
    #[must_use]
    pub fn codings(mut self, codings: &[Coding]) -> Self {
        let mut offered: Vec<(Coding, u8)> = Vec::new();
        for &coding in codings {
            let old = self.offered.iter().find(|(other, _)| *other == coding);
            let level = old.map_or(coding.default_level(), |(_, level)| *level);
            if !offered.iter().any(|(other, _)| *other == coding) {
                offered.push((coding, level));
            }
        }
        self.codings = offered.iter().map(|(coding, _)| *coding).collect();
        self.offered = offered;
        self
    }

    /// Sets the level of a coding. A level outside of [`Coding::levels`] means the nearest level within.
    /// Defaults to zstd 3, brotli 4, gzip 6, deflate 6.
    ///
    /// ```
    /// use vestibule_compression::{Coding, Compression};
    /// # async fn app(_: vestibule_core::Request) {}
    ///
    /// let fast = Compression::new(app).level(Coding::Gzip, 1);
    /// ```
    #[must_use]
    pub fn level(mut self, coding: Coding, level: u8) -> Self {
        let levels = coding.levels();
        let level = level.clamp(*levels.start(), *levels.end());
        for (other, place) in &mut self.offered {
            if *other == coding {
                *place = level;
            }
        }
        self
    }

    /// Sets the minimum size of an encoded body, in bytes. Defaults to 860. If the size is unknown, up to
    /// this many ready bytes are read ahead, to find small bodies.
    #[must_use]
    pub const fn min_size(mut self, bytes: u64) -> Self {
        self.min_size = bytes;
        self
    }

    /// Sets the maximum size of an encoded body of known length, in bytes. Defaults to 64 MiB. A larger
    /// body is sent plain, so that clients show progress and can resume. A client that refuses plain bytes
    /// gets a coding.
    ///
    /// ```
    /// use vestibule_compression::Compression;
    /// use vestibule_core::{App, IntoResponse, Request, Response};
    ///
    /// async fn dump(_: Request) -> Response {
    ///     ([("content-type", "text/csv")], "1,2,3\n".repeat(1_000)).into_response()
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let app = Compression::new(dump).max_size(5_000);
    /// let mut request = Request::default();
    /// request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
    /// let response = app.call(request).await;
    /// assert!(!response.headers().contains_key("content-encoding"));
    /// assert_eq!(response.headers()["vary"], "accept-encoding");
    /// # }
    /// ```
    #[must_use]
    pub const fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = bytes;
        self
    }

    /// Sets the memory that the encoders of streams share. Defaults to its own budget of 16 MiB.
    #[must_use]
    pub fn budget(mut self, budget: EncoderBudget) -> Self {
        self.budget = budget;
        self
    }

    /// Sets the predicate that chooses the encoded responses. Defaults to [`Types`].
    #[must_use]
    pub fn only(mut self, predicate: impl Predicate) -> Self {
        self.predicate = Arc::new(predicate);
        self
    }

    /// Responds with `406 Not Acceptable`, without a call of the app, to clients that refuse both the plain
    /// bytes (`identity;q=0`) and all offered codings. Defaults to plain bytes for them, which RFC 9110
    /// recommends.
    #[must_use]
    pub const fn strict(mut self, is_strict: bool) -> Self {
        self.is_strict = is_strict;
        self
    }

    /// Sets the maximum padding, in bytes: each encoded body gets a random number of bytes up to it.
    /// Defaults to none.
    ///
    /// An attack on secrets by the size of bodies (BREACH) then needs many more requests, but is still
    /// possible. Decoders skip the padding: a comment in the header of gzip, empty blocks in deflate, a
    /// block of metadata in brotli, a skippable frame in zstd. Strong entity tags become weak, because the
    /// bytes differ each time.
    #[must_use]
    pub const fn padding(mut self, max_bytes: u16) -> Self {
        self.max_padding = max_bytes;
        self
    }

    /// Adds a dictionary (RFC 9842). Clients that have it get `dcz` or `dcb`. Only bodies of at most 8 MiB
    /// that are whole in memory are encoded so, on the runtime's threads for blocking work. `Vary` then
    /// names `Available-Dictionary` as well, and strong entity tags become weak, because the bytes depend on
    /// the dictionary.
    #[cfg(feature = "dictionary")]
    #[must_use]
    pub fn dictionary(mut self, dictionary: Dictionary) -> Self {
        self.dictionaries.push(dictionary);
        self
    }

    /// Encodes the response against the dictionary of the client, or returns it unchanged.
    #[cfg(feature = "dictionary")]
    async fn encode_with_dictionary(
        &self,
        mut response: Response,
        dictionary: Dictionary,
        coding: DictionaryCoding,
    ) -> Result<Response, Response> {
        let plain = match response.body().as_bytes() {
            Some(bytes) if bytes.len() <= dictionary::MAX_BODY => bytes.clone(),
            _ => return Err(response),
        };
        let size = plain.len();
        let coded = match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                let _core = self.budget.core().await;
                let task = runtime.spawn_blocking(move || dictionary.encode(coding, &plain));
                task.await.ok().and_then(Result::ok)
            }
            Err(_) => dictionary.encode(coding, &plain).ok(),
        };
        let Some(coded) = coded.filter(|coded| coded.len() < size) else {
            return Err(response);
        };
        policy::mark(response.headers_mut(), coding.token());
        weaken(response.headers_mut());
        let length = HeaderValue::from(coded.len());
        response.headers_mut().insert(CONTENT_LENGTH, length);
        let body = std::mem::take(response.body_mut());
        *response.body_mut() = replaced(body, coded);
        Ok(response)
    }

    /// Encodes the response, if it is a candidate.
    async fn encode(&self, response: Response, asked: Asked) -> Response {
        let mut response = response;
        if !self.is_candidate(&response) {
            return response;
        }
        let headers = response.headers();
        let is_stream = policy::is_flushed_by_frame(headers);
        let is_head_alone = asked.is_head && response.body().is_end_stream();
        let mut size = match is_head_alone {
            true => policy::content_length(headers),
            false => response.body().size_hint().exact(),
        };
        let min_size = match asked.wanted {
            // A client that refuses plain bytes gets a coding for any size.
            Wanted::Coded(_, false) => 1,
            _ => self.min_size,
        };
        let is_wanted = matches!(asked.wanted, Wanted::Coded(..));
        if size.is_none() && is_wanted && !is_stream && !is_head_alone && min_size > 1 {
            let body = std::mem::take(response.body_mut());
            *response.body_mut() = peek(body, min_size).await;
            size = response.body().size_hint().exact();
        }
        if size.is_some_and(|size| size < min_size) {
            return response;
        }
        self.vary(response.headers_mut());
        #[cfg(feature = "dictionary")]
        if let Some((dictionary, coding)) = asked.dictionary {
            if is_head_alone && size.is_some_and(|size| size <= dictionary::MAX_BODY as u64) {
                leave_open(response.headers_mut());
                return response;
            }
            let coded = self
                .encode_with_dictionary(response, dictionary, coding)
                .await;
            match coded {
                Ok(coded) => return coded,
                Err(plain) => response = plain,
            }
        }
        let Wanted::Coded(coding, is_plain_fine) = asked.wanted else {
            return response;
        };
        if is_plain_fine && size.is_some_and(|size| size > self.max_size) {
            return response;
        }
        let whole = response.body().as_bytes().map(bytes::Bytes::len);
        let whole = whole.filter(|length| *length <= WHOLE && !is_head_alone);
        if let Some(length) = whole {
            let spec = self.spec(coding, Size::Whole(length as u64));
            return self.encode_whole(response, spec, is_plain_fine).await;
        }
        if asked.is_head {
            if is_plain_fine {
                leave_open(response.headers_mut());
            } else {
                self.mark(response.headers_mut(), coding);
            }
            if !is_head_alone {
                // The length of the plain bytes is not that of the GET, and the server sends no body.
                let body = std::mem::take(response.body_mut());
                *response.body_mut() = Body::new(Unmeasured(body));
            }
            return response;
        }
        self.encode_stream(response, coding, is_plain_fine, is_stream)
    }

    /// Returns whether the response, if large enough, would be encoded for some client.
    fn is_candidate(&self, response: &Response) -> bool {
        response.extensions().get::<Uncompressed>().is_none()
            && policy::may_be_coded(response.status(), response.headers())
            && response.status() != StatusCode::NOT_MODIFIED
            && self.predicate.test(response)
    }

    async fn encode_whole(
        &self,
        mut response: Response,
        spec: Spec,
        is_plain_fine: IsPlainFine,
    ) -> Response {
        let Some(plain) = response.body().as_bytes().cloned() else {
            return response;
        };
        let plain_size = plain.len();
        let Ok(coded) = encode_whole(spec, plain, &self.budget).await else {
            return response;
        };
        if coded.len() >= plain_size && is_plain_fine {
            return response;
        }
        self.mark(response.headers_mut(), spec.coding);
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(coded.len()));
        let body = std::mem::take(response.body_mut());
        *response.body_mut() = replaced(body, coded);
        response
    }

    /// Wraps the body in one that encodes while it is read. Without memory the response is unchanged.
    fn encode_stream(
        &self,
        response: Response,
        coding: Coding,
        is_plain_fine: IsPlainFine,
        is_flushed_by_frame: bool,
    ) -> Response {
        let spec = self.spec(coding, Size::Stream);
        let seat = match self.budget.encoder(spec) {
            Ok(Some(seat)) => Ok(seat),
            // A failure to create an encoder counts as missing memory.
            Ok(None) | Err(_) if is_plain_fine => return response,
            Ok(None) | Err(_) => Seat::stored(spec),
        };
        let (mut head, body) = response.into_parts();
        match seat {
            Ok(seat) => {
                self.mark(&mut head.headers, spec.coding);
                let budget = self.budget.clone();
                let body = EncodedBody::new(body, seat, budget, is_flushed_by_frame);
                Response::from_parts(head, Body::new(body))
            }
            Err(error) => vestibule_core::Failure::new(error)
                .layer("Compression")
                .into_response(),
        }
    }

    fn mark(&self, headers: &mut HeaderMap, coding: Coding) {
        policy::mark(headers, coding.token());
        match self.max_padding {
            0 => validators::suffix(headers, coding.token()),
            _ => weaken(headers),
        }
    }

    fn spec(&self, coding: Coding, size: Size) -> Spec {
        let mut offered = self.offered.iter();
        let level = offered.find_map(|(other, level)| (*other == coding).then_some(*level));
        Spec {
            coding,
            level: level.unwrap_or(coding.default_level()),
            size,
            padding: random_up_to(self.max_padding),
        }
    }
}

/// The parts of a request that are needed for its response.
struct Asked {
    wanted: Wanted,
    is_head: bool,
    #[cfg(feature = "dictionary")]
    dictionary: Option<(Dictionary, DictionaryCoding)>,
}

impl Asked {
    /// Returns whether the client gets encoded bytes for a candidate.
    fn gets_coded(&self) -> bool {
        #[cfg(feature = "dictionary")]
        if self.dictionary.is_some() {
            return true;
        }
        matches!(self.wanted, Wanted::Coded(..))
    }
}

impl<A: App> App for Compression<A> {
    async fn call(&self, mut request: Request) -> Response {
        if request.method() == Method::CONNECT {
            return self.app.call(request).await;
        }
        let asked = Asked {
            wanted: wanted(request.method(), request.headers(), &self.codings),
            is_head: request.method() == Method::HEAD,
            #[cfg(feature = "dictionary")]
            dictionary: dictionary::available(request.headers(), &self.dictionaries, &self.codings),
        };
        #[cfg(feature = "dictionary")]
        let use_as = {
            let path = request.uri().path();
            let mut dictionaries = self.dictionaries.iter();
            dictionaries.find_map(|dictionary| dictionary.use_as(path).cloned())
        };
        if self.is_strict && asked.wanted == Wanted::Nothing {
            return not_acceptable();
        }
        validators::settle_range(request.headers_mut(), asked.gets_coded());
        let sent = validators::strip(request.headers_mut());

        let mut response = self.app.call(request).await;

        #[cfg(feature = "dictionary")]
        if let Some(use_as) = use_as.filter(|_| response.status() == StatusCode::OK) {
            let headers = response.headers_mut();
            headers.insert(dictionary::USE_AS_DICTIONARY, use_as);
        }
        match response.status() {
            status @ (StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT) => {
                if status == StatusCode::NOT_MODIFIED {
                    sent.restore(response.headers_mut());
                }
                if self.might_stand_for_coded(&response) {
                    self.vary(response.headers_mut());
                }
                response
            }
            _ => self.encode(response, asked).await,
        }
    }

    fn describe(&self, outline: &mut Outline) {
        let mut codings = String::new();
        for (coding, level) in &self.offered {
            codings += &format!("{coding}:{level} ");
        }
        outline
            .role(Role::COMPRESSION)
            .option("codings", codings.trim_end().to_owned())
            .option("min_size", self.min_size.to_string())
            .option("max_size", amount(self.max_size))
            .option("budget", amount(self.budget.max_bytes()));
        if self.max_padding > 0 {
            outline.option("padding", self.max_padding.to_string());
        }
        outline.wraps(&self.app);
    }
}

impl<A> Compression<A> {
    /// Returns whether a 304 or a 206 belongs to a response that might have been encoded. A 304 usually has
    /// no type, and a 206 of several parts has the type of its parts; both count as yes.
    fn might_stand_for_coded(&self, response: &Response) -> bool {
        let headers = response.headers();
        let has_no_type = !headers.contains_key(CONTENT_TYPE) || policy::is_byteranges(headers);
        response.extensions().get::<Uncompressed>().is_none()
            && !policy::is_as_it_stays(headers)
            && (has_no_type || self.predicate.test(response))
    }

    /// Adds the request fields that decide the coding to `Vary`.
    fn vary(&self, headers: &mut HeaderMap) {
        policy::vary(headers, policy::ACCEPT_ENCODING);
        #[cfg(feature = "dictionary")]
        if !self.dictionaries.is_empty() {
            let name = HeaderValue::from_static("available-dictionary");
            policy::vary(headers, name);
        }
    }
}

impl<A: fmt::Debug> fmt::Debug for Compression<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compression")
            .field("app", &self.app)
            .field("offered", &self.offered)
            .field("min_size", &self.min_size)
            .field("is_strict", &self.is_strict)
            .field("max_padding", &self.max_padding)
            .field("max_size", &self.max_size)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

/// Creates a body of `coded`. `plain` ends as the new body does, so that its `on_end` callbacks get the
/// same end.
fn replaced(plain: Body, coded: bytes::Bytes) -> Body {
    if !plain.is_watched() {
        return Body::from(coded);
    }
    Body::from(coded).on_end(move |end| {
        let mut plain = plain;
        if matches!(end.outcome, Outcome::Complete) {
            // It is whole in memory, so reading it does not wait.
            let mut context = Context::from_waker(Waker::noop());
            while let Poll::Ready(Some(_)) = Pin::new(&mut plain).poll_frame(&mut context) {}
        }
    })
}

/// Formats a number of bytes for the outline, in MiB if that is a whole number.
fn amount(bytes: u64) -> String {
    if bytes > 0 && bytes.is_multiple_of(MIB) {
        format!("{} MiB", bytes / MIB)
    } else {
        bytes.to_string()
    }
}

const MIB: u64 = 1 << 20;

fn not_acceptable() -> Response {
    let status = StatusCode::NOT_ACCEPTABLE;
    let mut response = (status, "406 Not Acceptable\n").into_response();
    policy::vary(response.headers_mut(), policy::ACCEPT_ENCODING);
    response
}

/// Makes the head of a HEAD valid for both the encoded and the plain GET: removes fields that hold for
/// only one of them. A weak tag holds for both.
fn leave_open(headers: &mut HeaderMap) {
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    policy::remove_digests(headers);
    weaken(headers);
}

/// A body that hides its length.
struct Unmeasured(Body);

impl http_body::Body for Unmeasured {
    type Data = bytes::Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, BodyError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

/// Replaces a strong tag by a weak one.
fn weaken(headers: &mut HeaderMap) {
    let weak = ETag::from_headers(headers)
        .filter(|tag| !tag.is_weak())
        .map(|tag| tag.into_weak().to_header_value());
    if let Some(weak) = weak {
        headers.insert(ETAG, weak);
    }
}

/// Returns a number that a client cannot predict. The standard library's hasher has random keys for each
/// thread, and other keys for each hasher.
fn random_up_to(max: u16) -> usize {
    match max {
        0 => 0,
        max => {
            let random = RandomState::new().build_hasher().finish();
            usize::try_from(random % (u64::from(max) + 1)).unwrap_or(0)
        }
    }
}

/// 64 MiB: users watch a larger download, and resume it after a break.
const MAX_SIZE: u64 = 64 * 1024 * 1024;

/// 860 bytes fit one packet together with their head, so a smaller body would not arrive earlier.
const MIN_SIZE: u64 = 860;

/// Whole bodies up to this size, in bytes, are encoded before the head is sent.
const WHOLE: usize = 256 * 1024;
