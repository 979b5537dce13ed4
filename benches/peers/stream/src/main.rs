//! Streams lines of text through `Compression`, 60 MB to each request: `vestibule-peer-stream`.
//! Its address is the only line that it prints.

use tokio::net::TcpListener;
use vestibule::compression::Compression;
use vestibule::prelude::*;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("http://{}", listener.local_addr().expect("it is bound"));
        vestibule::serve(listener, Compression::new(lines))
            .await
            .expect("it serves");
    });
}

/// Pieces of 8 KB, as a database or a template gives them.
async fn lines(request: Request) -> Response {
    let seed = request.uri().path().len() as u64 + 1;
    let (mut sender, body) = Body::channel();
    tokio::spawn(async move {
        let mut state = seed;
        for _ in 0..60_000_000 / PIECE {
            let mut piece = String::with_capacity(PIECE + 64);
            while piece.len() < PIECE {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let (number, word) = (state >> 40, WORDS[(state >> 60) as usize]);
                piece += &format!("{number},{word},2026-11-30T00:00:00Z,passed through the door\n");
            }
            // The client is gone.
            if sender.send(piece).await.is_err() {
                return;
            }
        }
        sender.finish();
    });
    ([("content-type", "text/csv")], Response::new(body)).into_response()
}

const PIECE: usize = 8_000;

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
