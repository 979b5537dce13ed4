//! CGI: one request from the environment and standard input, one response to standard output.
//!
//! Source: RFC 3875.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use tokio::io::{AsyncRead, AsyncWrite};
use vestibule_core::{App, Body, BoxError, CatchPanic, IntoResponse};
use vestibule_environ::{Environ, HeadForm, Mapping};

use crate::exchange::{Incoming, Limits, Outgoing, pump};

/// Serves the single request of this process, as a CGI program.
///
/// The exit code is 0 when the whole response was written, and 1 otherwise. A
/// [`Failure`](vestibule_core::Failure) is logged to standard error by `tracing`. The order of the
/// layers is not checked, since that would log a line for each request.
///
/// Reads standard input to its end, since some web servers wait for that.
///
/// ```no_run
/// use vestibule_core::Request;
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> std::process::ExitCode {
///     vestibule_gateway::cgi(|_: Request| async { "Hello!" }).await
/// }
/// ```
pub async fn cgi<A: App>(app: A) -> ExitCode {
    let (stdin, stdout) = (tokio::io::stdin(), tokio::io::stdout());
    match converse(app, Environ::from_process(), stdin, stdout).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(target: "vestibule", error = &*error, "the request got no complete response");
            ExitCode::FAILURE
        }
    }
}

async fn converse<A: App>(
    app: A,
    mut environ: Environ,
    stdin: impl AsyncRead + Unpin,
    stdout: impl AsyncWrite + Unpin,
) -> Result<(), BoxError> {
    let limits = Limits::default();
    // SCRIPT_NAME is the path of a CGI program, also when the path ends there.
    if environ.get("PATH_INFO").is_none() {
        environ.push("PATH_INFO", "");
    }
    let is_chunked = environ.get("HTTP_TRANSFER_ENCODING").is_some();
    let (sender, body) = Body::channel();
    let mut incoming = Incoming::new(stdin);
    let (mut outgoing, _replies) = Outgoing::new(stdout, limits.write_timeout);
    let length = environ.content_length();
    let mapped = Mapping::new().request(environ.with_input(body));
    let form = HeadForm::Status;
    let is_whole = match (mapped, length) {
        (Ok(request), Ok(length)) => {
            let app = CatchPanic::new(app);
            let answer = outgoing.answer(&app, request, form);
            let read = async {
                match length {
                    None if is_chunked => to_end(&mut incoming, sender).await,
                    length => {
                        let mut left = length.unwrap_or(0);
                        pump(&mut incoming, &mut left, sender, limits.body_timeout).await;
                    }
                }
                // The end of standard input does not mean that the client is gone.
                std::future::pending().await
            };
            tokio::select! {
                biased;
                is_whole = answer => is_whole?,
                () = read => false,
            }
        }
        (Err(error), _) | (_, Err(error)) => {
            let refusal = error.into_response();
            outgoing.respond(&Method::GET, form, refusal).await?
        }
    };
    outgoing.flush().await?;
    if !is_whole {
        return Err("the body of the response failed".into());
    }
    let drain = async {
        while incoming.more().await? {
            incoming.buffer.clear();
        }
        io::Result::Ok(())
    };
    // Stops reading if the web server sends without end.
    let _ = tokio::time::timeout(DRAIN, drain).await;
    Ok(())
}

/// Reads a body without a length to the end of the input.
async fn to_end<R: AsyncRead + Unpin>(
    incoming: &mut Incoming<R>,
    mut sender: vestibule_core::BodySender,
) {
    loop {
        match incoming.some(u64::MAX).await {
            Ok(data) if data.is_empty() => return sender.finish(),
            Ok(data) => {
                if sender.send(data).await.is_err() {
                    return;
                }
            }
            Err(error) => return sender.abort(error),
        }
    }
}

/// How long the unread rest of the body is read after the response.
const DRAIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use vestibule_core::{CollectError, Mount, Request};

    use super::*;

    async fn run<A: App>(
        app: A,
        variables: &[(&str, &str)],
        input: &[u8],
    ) -> (Result<(), BoxError>, String) {
        let mut environ = Environ::from_iter(variables.iter().copied());
        environ.push("REQUEST_METHOD", "POST");
        let mut output = Vec::new();
        let done = converse(app, environ, input, &mut output).await;
        (done, String::from_utf8_lossy(&output).into_owned())
    }

    async fn echo(request: Request) -> Result<Vec<u8>, CollectError> {
        let rest = Mount::rest_of(&request).to_owned();
        let body = request.into_body().collect(1000).await?;
        Ok([rest.as_bytes(), &body].concat())
    }

    #[tokio::test]
    async fn bodies_by_length_and_to_the_end() {
        let cases: [(&[(&str, &str)], &str); 4] = [
            (&[("CONTENT_LENGTH", "3")], "abc"),
            (&[("CONTENT_LENGTH", "")], ""),
            (&[], ""),
            (&[("HTTP_TRANSFER_ENCODING", "chunked")], "abcd"),
        ];
        for (variables, body) in cases {
            let mut all = vec![("SCRIPT_NAME", "/cgi")];
            all.extend_from_slice(variables);
            let (done, text) = run(echo, &all, b"abcd").await;
            done.unwrap();
            assert!(text.starts_with("Status: 200 OK\r\n"), "{text}");
            assert!(text.ends_with(&format!("\r\n\r\n{body}")), "{text}");
        }
    }

    #[tokio::test]
    async fn refused_requests_get_a_response() {
        let cases = [
            ("CONTENT_LENGTH", "x"),
            ("HTTP_HOST", "a b"),
            ("PATH_INFO", "/\0"),
        ];
        for variable in cases {
            let (done, text) = run(echo, &[variable], b"").await;
            done.unwrap();
            assert!(text.starts_with("Status: 400 Bad Request\r\n"), "{text}");
        }
        let (_, text) = run(echo, &[("CONTENT_LENGTH", "9")], b"short").await;
        assert!(text.starts_with("Status: 400 Bad Request\r\n"), "{text}");
    }

    #[tokio::test]
    async fn a_body_that_breaks_is_an_exit_code() {
        let app = |_: Request| async {
            let (mut sender, body) = Body::channel();
            sender.abort("broken");
            body
        };
        let (done, _) = run(app, &[], b"").await;
        assert!(done.is_err());
    }

    /// Standard input that ends early, has no length, or is longer than its length.
    #[tokio::test]
    async fn broken_standard_input() {
        let large = vec![b'x'; 300_000];
        let cases: [(&str, &[u8], &str); 5] = [
            ("3", b"", "400"),
            ("3", b"ab", "400"),
            ("3", b"abcd", "200"),
            ("0", &large, "200"),
            ("99999999999999999999", b"abc", "400"),
        ];
        for (length, input, status) in cases {
            let (done, text) = run(echo, &[("CONTENT_LENGTH", length)], input).await;
            done.unwrap();
            let start = format!("Status: {status} ");
            assert!(text.starts_with(&start), "{length}: {text}");
        }
    }
}
