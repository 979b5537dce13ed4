//! A response that was read to its end.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, Version};
use vestibule_core::{Body, Failure, Response};

/// A response that was read to its end: the parts that a client sees, and the cause that a log
/// would have.
///
/// `Display` writes it as text for a snapshot: the status line, the headers sorted by name, an
/// empty line, and the body. Bytes that are not text are escaped. Trailers, and the error at the
/// end of the body, are on separate lines after `--`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{IntoResponse, Failure};
/// use vestibule_test::Answer;
///
/// let answer = Answer::read(Failure::new("disk on fire").into_response()).await;
/// assert_eq!(answer.status, 500);
/// assert_eq!(answer.failure.unwrap().to_string(), "disk on fire");
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The version of the response.
    pub version: Version,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// All bytes of the body, up to its end or its error.
    pub body: Bytes,
    /// The trailers. Empty if there are none.
    pub trailers: HeaderMap,
    /// The error that ended the body, if there was one.
    pub error: Option<String>,
    /// The cause that the response carries.
    pub failure: Option<Failure>,
    /// Number of data frames.
    pub frames: usize,
}

impl Answer {
    /// Reads a response to its end.
    ///
    /// # Panics
    ///
    /// Panics if the body is larger than 64 MiB.
    pub async fn read(response: Response) -> Self {
        let failure = Failure::of(&response).cloned();
        let (head, body) = response.into_parts();
        let mut answer = Self {
            version: head.version,
            status: head.status,
            headers: head.headers,
            body: Bytes::new(),
            trailers: HeaderMap::new(),
            error: None,
            failure,
            frames: 0,
        };
        answer.read_body(body).await;
        answer
    }

    async fn read_body(&mut self, mut body: Body) {
        let mut all = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    self.error = Some(error.to_string());
                    break;
                }
            };
            match frame.into_data() {
                Ok(data) => {
                    self.frames += 1;
                    all.extend_from_slice(&data);
                    assert!(
                        all.len() <= MAX_BYTES,
                        "the body has more than {MAX_BYTES} bytes"
                    );
                }
                Err(frame) => self
                    .trailers
                    .extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        self.body = all.freeze();
    }

    /// Returns the body as text. Invalid UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the first value of a header as text, or an empty string if there is none.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::IntoResponse;
    /// use vestibule_test::Answer;
    ///
    /// let answer = Answer::read("hello".into_response()).await;
    /// assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    /// assert_eq!(answer.header("etag"), "");
    /// # }
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str());
        value.and_then(Result::ok).unwrap_or_default()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.status.canonical_reason().unwrap_or("");
        let line = format!("{:?} {} {reason}", self.version, self.status.as_u16());
        writeln!(f, "{}", line.trim_end())?;
        write_headers(f, &self.headers)?;
        if !self.body.is_empty() {
            write!(f, "\n{}", escaped(&self.body))?;
        }
        let has_line_end = self.body.is_empty() || self.body.ends_with(b"\n");
        let line_end = if has_line_end { "" } else { "\n" };
        if !self.trailers.is_empty() {
            writeln!(f, "{line_end}-- trailers")?;
            write_headers(f, &self.trailers)?;
        }
        if let Some(error) = &self.error {
            let line_end = if self.trailers.is_empty() {
                line_end
            } else {
                ""
            };
            writeln!(f, "{line_end}-- broke off: {error}")?;
        }
        Ok(())
    }
}

/// Writes one line for each value, sorted by name. Values of one name keep their order.
fn write_headers(f: &mut fmt::Formatter<'_>, headers: &HeaderMap) -> fmt::Result {
    let mut names: Vec<_> = headers.keys().collect();
    names.sort_unstable_by_key(|name| name.as_str());
    for name in names {
        for value in headers.get_all(name) {
            writeln!(f, "{name}: {}", escaped(value.as_bytes()))?;
        }
    }
    Ok(())
}

/// Returns text unchanged, and other bytes escaped.
fn escaped(bytes: &[u8]) -> String {
    let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(is_plain) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

/// A limit above the needs of tests.
const MAX_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use vestibule_core::IntoResponse;

    use super::*;

    #[tokio::test]
    async fn an_answer_prints_as_a_snapshot() {
        let cases = [
            (().into_response(), "HTTP/1.1 200 OK\n"),
            (
                "hi".into_response(),
                "HTTP/1.1 200 OK\ncontent-type: text/plain; charset=utf-8\n\nhi",
            ),
            (
                (
                    [("b", "1"), ("a", "2")],
                    Body::from(vec![0x1f, 0x8b, b'a', b'\n']),
                )
                    .into_response(),
                "HTTP/1.1 200 OK\na: 2\nb: 1\n\n\\x1f\\x8ba\\n",
            ),
            (
                StatusCode::from_u16(299).unwrap().into_response(),
                "HTTP/1.1 299\n",
            ),
        ];
        for (response, want) in cases {
            assert_eq!(Answer::read(response).await.to_string(), want);
        }
    }

    #[tokio::test]
    async fn trailers_and_errors_print_too() {
        let (mut sender, body) = Body::channel();
        sender.send("hi").await.unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        sender.finish_with(trailers);
        let answer = Answer::read(Response::new(body)).await;
        assert_eq!(
            answer.to_string(),
            "HTTP/1.1 200 OK\n\nhi\n-- trailers\nx-sum: 1\n"
        );

        let (mut sender, body) = Body::channel();
        sender.send("hi").await.unwrap();
        sender.abort("disk");
        let answer = Answer::read(Response::new(body)).await;
        assert_eq!(
            answer.to_string(),
            "HTTP/1.1 200 OK\n\nhi\n-- broke off: disk\n"
        );
    }
}
