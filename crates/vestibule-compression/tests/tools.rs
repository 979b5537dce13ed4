//! The C tools and Python read our output, and we read theirs.

use vestibule_compression::{Coding, Compression};
use vestibule_core::{App, Body, IntoResponse, Response};

use crate::support::*;

/// Sizes around the bounds of slices, windows and whole bodies.
const SIZES: [usize; 8] = [1, 859, 32_768, 32_769, 131_073, 262_144, 262_145, 3_000_000];

#[tokio::test]
async fn the_c_tools_read_what_we_write() {
    for &coding in Coding::ALL {
        for size in SIZES {
            let app = Compression::new(text(size)).codings(&[coding]).min_size(0);
            let asked = format!("{coding}, identity;q=0");
            let (response, bytes) = ask(&app, get(&[("accept-encoding", &asked)])).await;
            assert_eq!(header(&response, "content-encoding"), coding.token());
            assert!(decode(coding, &bytes) == words(size), "{coding}, {size}");
        }
    }
}

#[tokio::test]
async fn python_reads_what_we_write() {
    let programs = [
        (
            Coding::Gzip,
            "import gzip; out.write(gzip.decompress(data))",
        ),
        (
            Coding::Deflate,
            "import zlib; out.write(zlib.decompress(data))",
        ),
        (
            Coding::Brotli,
            "import brotli; out.write(brotli.decompress(data))",
        ),
        (
            Coding::Zstd,
            "import zstandard, io\nout.write(zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read())",
        ),
    ];
    for (coding, program) in programs {
        for is_stream in [false, true] {
            let steps = vec![Step::Data(words(50_000).into()), Step::Pause];
            let streamed = answers(move || {
                let mut response = Response::new(script(steps.clone()));
                response
                    .headers_mut()
                    .insert("content-type", "text/html".parse().unwrap());
                response
            });
            let app = if is_stream {
                streamed.boxed()
            } else {
                text(50_000).boxed()
            };
            for padding in [0, 200] {
                let app = Compression::new(app.clone())
                    .codings(&[coding])
                    .padding(padding);
                let (_, bytes) = ask(&app, get(&[("accept-encoding", coding.token())])).await;
                let found = python(program, &bytes).unwrap();
                assert!(found == words(50_000), "{coding}, padding {padding}");
            }
        }
    }
}

/// Returns the window of the first frame of a body: at most 8 MB, and 128 KB for an unknown size.
#[tokio::test]
async fn rfc9659_windows_of_zstd_are_what_browsers_take() {
    use bytes::Bytes;
    let large = Bytes::from(vec![b'a'; 9 << 20]);
    for level in [1, 3, 10, 19] {
        for is_known in [true, false] {
            let large = large.clone();
            let page = answers(move || {
                let body = match is_known {
                    true => Body::from(large.clone()),
                    false => script(vec![Step::Data(large.clone()), Step::Pause]),
                };
                ([("content-type", "text/plain")], Response::new(body)).into_response()
            });
            let app = Compression::new(page).level(Coding::Zstd, level);
            let response = app.call(get(&[("accept-encoding", "zstd")])).await;
            let mut body = response.into_body();
            let frame = body.frame().await.unwrap().unwrap();
            let head = frame.into_data().unwrap();
            // RFC 8878, section 3.1.1.1: the magic number, the descriptor, the window.
            assert_eq!(head[..4], [0x28, 0xb5, 0x2f, 0xfd]);
            assert_eq!(head[4] & 0b10_0011, 0, "a window, and no dictionary");
            let base = 1_u64 << (10 + (head[5] >> 3));
            let window = base + base / 8 * u64::from(head[5] & 7);
            let most = if is_known { 8 << 20 } else { 128 << 10 };
            assert!(window <= most, "level {level}, {is_known}: {window}");
        }
    }
}
