//! Bodies that play a script, apps that give them, and codecs that are not ours.

use std::io::Write;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use vestibule_compression::Coding;
use vestibule_core::{App, Body, BodyError, BoxError, IntoResponse, Request, Response};

/// The next step of a scripted body.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Data(Bytes),
    Pause,
    Trailers(HeaderMap),
    Fail,
}

/// A body of frames and pauses. It panics when it is polled after its end.
pub(crate) fn script(steps: Vec<Step>) -> Body {
    Body::new(Script {
        steps: steps.into_iter(),
        has_ended: false,
    })
}

struct Script {
    steps: std::vec::IntoIter<Step>,
    has_ended: bool,
}

impl http_body::Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        assert!(!self.has_ended, "polled after the end");
        match self.steps.next() {
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Step::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Some(Step::Fail) => {
                self.has_ended = true;
                Poll::Ready(Some(Err("the disk is gone".into())))
            }
            Some(Step::Pause) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                self.has_ended = true;
                Poll::Ready(None)
            }
        }
    }
}

/// A request for `/` with header lines.
pub(crate) fn get(lines: &[(&'static str, &str)]) -> Request {
    let mut request = Request::default();
    for (name, value) in lines {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

/// An app that answers with a text of `bytes` bytes that shrinks.
pub(crate) fn text(bytes: usize) -> impl App {
    move |_: Request| async move { ([("content-type", "text/plain")], words(bytes)).into_response() }
}

/// An app that responds with the result of `make`.
pub(crate) fn answers(make: impl Fn() -> Response + Send + Sync + 'static) -> impl App {
    move |_: Request| {
        let response = make();
        async move { response }
    }
}

/// Returns text of this many bytes, which shrinks like prose.
pub(crate) fn words(bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes + 16);
    let mut state = 1_u32;
    while text.len() < bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let word = WORDS[(state >> 24) as usize % WORDS.len()];
        text.extend_from_slice(word.as_bytes());
        text.push(b' ');
    }
    text.truncate(bytes);
    text
}

const WORDS: [&str; 16] = [
    "door",
    "street",
    "house",
    "request",
    "passes",
    "through",
    "the",
    "a",
    "of",
    "room",
    "between",
    "and",
    "vestibule",
    "every",
    "who",
    "enters",
];

/// The whole body and its trailers.
pub(crate) async fn read(mut body: Body) -> Result<(Vec<u8>, Option<HeaderMap>), BodyError> {
    let (mut bytes, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((bytes, trailers))
}

/// The response in full: head, bytes.
pub(crate) async fn ask(app: &impl App, request: Request) -> (Response, Vec<u8>) {
    let (head, body) = app.call(request).await.into_parts();
    let (bytes, _) = read(body).await.unwrap();
    (Response::from_parts(head, Body::empty()), bytes)
}

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// Returns the output of `program` for `input`. The program is in the Debian package of the same name.
pub(crate) fn pipe(program: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; is its package installed?"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Decodes with the C tool of the coding; deflate with Python's zlib.
pub(crate) fn decode(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Gzip => pipe("gzip", &["-dc"], bytes),
        Coding::Brotli => pipe("brotli", &["-dc"], bytes),
        // With the window that browsers allow.
        Coding::Zstd => pipe("zstd", &["-dc", "--memory=8MB"], bytes),
        _ => python("import zlib\nd = zlib.decompressobj()\nout.write(d.decompress(data) + d.flush())\nassert d.eof and not d.unused_data", bytes),
    }
    .unwrap_or_else(|error| panic!("{coding}: {error}"))
}

/// Encodes with the C tool of the coding; deflate with Python's zlib.
pub(crate) fn encode(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Gzip => pipe("gzip", &["-c"], bytes),
        Coding::Brotli => pipe("brotli", &["-c", "-q", "5"], bytes),
        Coding::Zstd => pipe("zstd", &["-c", "-q"], bytes),
        _ => python("import zlib\nout.write(zlib.compress(data))", bytes),
    }
    .unwrap_or_else(|error| panic!("{coding}: {error}"))
}

/// Runs Python with `data` from the input and `out` to write to.
pub(crate) fn python(program: &str, input: &[u8]) -> Result<Vec<u8>, String> {
    let program =
        format!("import sys\ndata = sys.stdin.buffer.read()\nout = sys.stdout.buffer\n{program}");
    pipe("python3", &["-c", &program], input)
}
