//! Hosts Python WSGI apps (Flask, Django, any callable of PEP 3333) with the whole Rust stack
//! around them: static files, compression, auth, access log, limits, HTTP/2.
//!
//! It is one host in two builds:
//!
//! | build | for | how |
//! |---|---|---|
//! | *wheel* | Python people: a server with worker processes | `pip install vestibule-wsgi`, then `vestibule-wsgi app:app`, or `vestibule wsgi app:app` |
//! | *embed* (feature `embed`) | Rust programs: a Python app as an `App` | `WsgiApp::load("app:app")` |
//!
//! Without a feature there is nothing of Python in a build, and nothing looks for it.
//!
//! # As a server
//!
//! ```text
//! $ vestibule-wsgi app:app --static /static=./static
//! Serving app:app
//!      at http://127.0.0.1:8080/
//!    with Python 3.11.7 in /srv/site/.venv
//!      by 2 processes, with 5 threads each
//!
//! AccessLog  format: combined, to: standard output
//! SetRequestId  header: x-request-id
//! Compression  codings: zstd:3 br:4 gzip:6 deflate:6, min_size: 860, max_size: 64 MiB, budget: 16 MiB
//! Mounts
//! ├─ /static
//! │  StaticFiles ...
//! └─ otherwise
//!    WsgiApp  app: app:app
//! ```
//!
//! `vestibule wsgi` is the same: it starts the Python of the virtual environment that is active,
//! and that Python runs the host. The interpreter is your own by construction, and one wheel serves
//! every CPython from 3.10 on.
//!
//! A supervisor, which never imports the app, holds the sockets and keeps the workers:
//!
//! - A worker that dies (a crash in C, `os._exit`, the kernel's OOM killer) is replaced at once;
//!   those that die within two seconds of their start get a pause that doubles, from 100 ms to 5 s.
//! - A worker that is stuck (`--timeout`), too large (`--max-memory`) or old (`--max-requests`) is
//!   replaced: the new one serves before the old one is asked to end, which answers what it has. So
//!   is a worker that is sent SIGTERM.
//! - SIGHUP replaces all workers, one by one. `--reload` does that whenever a Python file changes
//!   below the directory, or a file from which the app was imported. When the app cannot be imported
//!   at the first start, `--reload` serves a page with the reason to this machine.
//! - A replacement that cannot begin leaves the old worker in place. It is tried again after 1 s, then
//!   after twice as long each time, up to 30 s, until a new worker serves.
//! - A start that takes longer than 5 s is logged with its age. `--start-timeout` ends it, and so does
//!   a later SIGHUP.
//! - Each worker changes to `--chdir` itself, by the name that the option or the shell's `PWD` has. So
//!   a deploy that switches a symbolic link is taken at SIGHUP.
//! - `--debug` shows tracebacks as pages, in which nothing can be run, to browsers on this machine
//!   only. It sets `FLASK_DEBUG=1` where that is not set, since Flask answers errors with a page of
//!   its own otherwise; Django's `DEBUG` has a page that says more. It is not for a machine with a
//!   web server in front, which may not say that it is there.
//! - SIGTERM or Ctrl-C lets open requests end within `--drain-timeout` and closes idle connections. No
//!   request is lost: the kernel refuses new connections, the workers take those that wait, and then
//!   all copies of the listening sockets are closed. That holds when all processes are sent SIGTERM at
//!   once, as systemd does it, but not for connections of a socket that systemd itself holds: these
//!   wait for the next start.
//! - With `Type=notify` or `Type=notify-reload` systemd is notified when the first worker serves, when a
//!   reload begins and ends, when the shutdown begins, and of the number of workers. The watchdog
//!   (`WatchdogSec=`) is notified while the main loop of a worker runs.
//! - As the first process of a container it waits for orphans (not with `--processes 0`).
//! - SIGUSR1, SIGUSR2, SIGWINCH, SIGTTIN and SIGTTOU do no harm to any of the processes. Handlers that the app
//!   sets with `signal.signal` run in the main thread of its worker.
//! - When the supervisor is killed the workers end as well.
//!
//! ## From gunicorn
//!
//! | gunicorn | here |
//! |---|---|
//! | `module:app`, `'module:create_app()'` | the same; without a name `application`, or else `app` |
//! | `-b, --bind` | the same, or `-l, --listen`: `:8000` for all interfaces, `127.0.0.1:8000`, `8000` for this machine, `unix:/run/app.sock`; or sockets of systemd. `-P, --port` is a port of 127.0.0.1 |
//! | `-w, --workers` | the same, or `-p, --processes`; defaults to one for each core; 0 is one process without a supervisor |
//! | `PORT`, `WEB_CONCURRENCY` | the same: `:PORT` and the number of processes, where the command line does not say them |
//! | `--threads` | `--threads`, twice the cores and one when it is not said |
//! | `-k, --worker-class` | there is one; slow clients and idle connections never hold a thread |
//! | `-t, --timeout` (30) | `--timeout` (60s): the request is a 504, its worker is replaced, the other threads' requests end |
//! | `--graceful-timeout` (30) | `--drain-timeout` (30s) |
//! | `--keep-alive` (2) | `--idle-timeout` (75s) |
//! | `--max-requests`, `--max-requests-jitter` | `--max-requests`, the spread is built in |
//! | `--backlog` | the kernel's queue is 1024; `--queue` is the one in front of the threads, beyond it 503 with `Retry-After` |
//! | `--chdir`, `--pythonpath` | the same; the directory itself is first on `sys.path`, and all paths are meant from there |
//! | `-e, --env` | set it in the environment; `--environ NAME=VALUE` is for the environ of WSGI, and refuses variables that the server sets |
//! | `--reload` | `--reload` |
//! | `--access-logfile`, `--access-logformat` | `--log FILE`, `--log-format`: common, combined, json, logfmt, or Apache's `LogFormat`, where `%{queue_time}n` is how long the request waited for a thread, in microseconds (`vestibule.queue_time` in JSON) |
//! | `--error-logfile`, `--capture-output` | standard error; `wsgi.errors` is written there as it is, and tracebacks are events with the request's id; with `--events json` both are events |
//! | `--access-logfile -` | standard output, where the log goes without `--log`; lines of several processes do not mix in a pipe, however long they are |
//! | `--forwarded-allow-ips` | `--trust-proxy NETWORK`, or `unix`: for `X-Forwarded-For`, `X-Forwarded-Proto` and `x-request-id`. `--trust-fields host,port,prefix` adds `X-Forwarded-Host`, `-Port` and `-Prefix`; `forwarded` reads `Forwarded` |
//! | `SCRIPT_NAME` in the environment | `--mount /app`: the app is below that path |
//! | `--certfile`, `--keyfile`, `--ca-certs` | `--tls CHAIN,KEY`, `--client-ca`, `--client-crl`, `--tls-min`, with HTTP/2; SIGHUP reads them again; `--tls dev` makes one, for one process |
//! | `wsgi.early_hints` | none: the server below cannot send 103, nor any other 1xx of an app's. A `Link` header with `rel=preload` on the response itself is what is left; the `100 Continue` that a client waits for is sent at the first read |
//! | `--statsd-host` | `--metrics` answers for the worker that is asked, and so does `--inspect`; in the access log there is all of them |
//! | `--limit-request-line`, `--limit-request-fields` | 8 KiB and 100 fields; 32 KiB in all |
//! | `-k gevent` | refused: an app that replaces Python's threads (`monkey.patch_all()`) cannot be loaded; `patch_all(thread=False)` can |
//! | `--preload` | there is none: processes are started anew, not forked |
//! | SIGHUP, SIGTERM, SIGINT | the same; SIGUSR1 does no harm and is not needed, the log's file is opened anew when it was renamed |
//! | SIGTTIN, SIGTTOU, SIGUSR2 | they do no harm and have no effect |
//! | `when_ready`, `post_worker_init`, `child_exit` | `Type=notify`; `--on-worker-start MODULE:CALLABLE` in the worker and `--on-worker-exit MODULE:CALLABLE` in the supervisor, each called with the worker's process number |
//! | `--worker-connections` | `--max-connections`, for each process |
//! | `--proxy-protocol` | `--proxy-protocol NETWORK` |
//! | `--umask` | `--socket-mode` for unix sockets |
//! | `--daemon`, `--pid`, `--user`, `--group` | none: a service manager does that |
//! | `--log-level` | none: what an operator should know is logged |
//! | `--config FILE`, other hooks | none |
//!
//! # In a Rust program
//!
//! ```rust,no_run
//! # #[cfg(feature = "embed")]
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use vestibule_core::{Mounts, Request};
//! use vestibule_wsgi::WsgiApp;
//!
//! async fn hello(_: Request) -> &'static str {
//!     "from Rust"
//! }
//!
//! let legacy = WsgiApp::load("legacy:app")?; // Flask, from ./legacy.py
//! let app = Mounts::new().at("/legacy", legacy).or(hello);
//! vestibule_hyper::serve("127.0.0.1:8080", app).await?;
//! # Ok(()) }
//! ```
//!
//! The program is linked to the libpython of the `python3` that was first on `PATH` at build time
//! (`PYO3_PYTHON` chooses another); that needs a Python with a shared library: Debian's
//! `python3-dev`, or a build with `--enable-shared`. A program that is not run where the linker
//! looks needs its place in its `build.rs`: `pyo3_build_config::add_libpython_rpath_link_args()`.
//! The packages are those of `VIRTUAL_ENV`, or of `WsgiOptions::venv`; an environment of another
//! Python is refused with a sentence, since it would go wrong in silence.
//!
//! In this build the app shares the process: what ends the process ends the server. The wheel's
//! workers are apart.
//!
//! # What an app can rely on
//!
//! PEP 3333, by a hundred rules that are tests by their numbers (`tests/python/test_rules.py`).
//! What is worth knowing:
//!
//! - `wsgi.input` streams. It ends where the body ends (`wsgi.input_terminated`), chunked or not; a
//!   body that breaks off raises `OSError`, and never looks like the end; an app that lets the exception
//!   through gets one line at INFO, without a traceback. After the call it is closed: reading raises
//!   `ValueError`.
//! - A chunked body has no `CONTENT_LENGTH`. Flask reads it; Django and Bottle take it for empty.
//!   `--buffer-chunked MIB` receives such bodies before the app is called, in memory up to 1 MiB and then
//!   in a file, and gives them a length. A web server in front that buffers does the same.
//! - The head is sent with the first byte, so an error before it is a 500 however late it comes. An
//!   error after it cuts the response, so that the client can tell.
//! - The iterable is run to its end, also when its `Content-Length` is reached and for HEAD: libraries
//!   work after the last byte, as background tasks of an ASGI app do. It ends early at the first bytes
//!   beyond `Content-Length`, when the client leaves before the response is complete, and when it goes
//!   on for longer than `--timeout` after that.
//! - `close()` is called once, always: at the end, after an error, when the client has gone, for
//!   HEAD. A client that leaves is noticed at the next block, also at an empty one.
//! - `X-Request-ID` of the app's own is kept. The log has the server's id.
//! - `REMOTE_ADDR` is `''` for a client of a unix socket, and `REMOTE_PORT` is absent where it is not
//!   known.
//! - `SystemExit`, `KeyboardInterrupt` and all else is a 500 with its traceback in the log, and the
//!   server lives.
//! - `wsgi.file_wrapper` hands a regular file to the server, from its position on; no thread of
//!   Python waits for the client. The wrapper has `seek`, `tell`, `seekable` and `readable` if the file has
//!   them, so that libraries find a range without reading all before it.
//! - The server reads up to 512 KiB ahead of an app that reads its input, and nothing before the
//!   first read. From there on, and while there is room, a client that pauses for longer than
//!   `--body-timeout` is cut, also if the app is busy meanwhile, and so is one that is slower than
//!   `--min-body-rate` after 10 s.
//! - Blocks are sent as they come, those that have come meanwhile together. A client that is slow
//!   holds a thread of Python only while the app is further ahead of it than 512 KiB that wait and
//!   as much that is being written.
//! - Beyond PEP 3333: `REQUEST_URI` and `RAW_URI` as the client sent them, `vestibule.queue_time`
//!   in seconds.
//! - Threads are Python's own, `wsgi-0` and so on, never the main one.
//!
//! # Threads, and Python's lock
//!
//! Two threads that compute take the interpreter from each other, which costs more than a small app
//! does. So one thread is woken, the one that was last at work, and it is left alone with all that
//! comes while it gets on. Another joins it
//!
//! - when it has ended no request for a millisecond: it waits for something, or computes for long;
//! - at once, where one in sixteen calls that are measured has been seen to wait (for a database, a
//!   disk, another service): those are worth it to have several at a time.
//!
//! ## Without the lock
//!
//! A free-threaded Python (3.14 or newer) has no such lock: the module says that it needs none, and
//! all threads come at once. There one process does what several do elsewhere, with one copy of the
//! app in memory:
//!
//! ```text
//! $ uv python install 3.14t              # or pyenv install 3.14t; Fedora's python3.14-freethreading
//! $ uv venv --python 3.14t --seed .venv
//! $ .venv/bin/pip install vestibule-wsgi # built from source, by a Rust toolchain: there is no stable interface of 3.14t
//! $ .venv/bin/vestibule-wsgi app:app --processes 1 --threads 8
//! Serving app:app
//!      at http://127.0.0.1:8080/
//!    with Python 3.14.7, free-threaded, in /srv/site/.venv
//!      by 1 process, with 8 threads
//! ```
//!
//! An extension module that wants the lock turns it on again when the app imports it; Python warns
//! of that on standard error. Then the threads are woken as above.
//!
//! Seen with CPython 3.14.7, built with `--disable-gil` on x86-64 Linux: all tests of
//! `tests/python` pass, with Flask and Django. Two clients that asked one process of two threads
//! for pages that only compute were served in 1.09 s, for which it took 1.79 s of CPU time; on
//! CPython 3.11 the same took 1.51 s, for 1.49 s of CPU time.
//!
//! What it does not do: `wsgi.early_hints` and other informational responses, WebSocket,
//! sub-interpreters. With `--static` a path that is broken or climbs (`/%zz`, `/a/../b`) is a 400
//! before it reaches the app.
//!
//! # What was run on it
//!
//! `just wsgi-suites`, which downloads the suites and compares:
//!
//! - The 633 tests of `requests` 2.34.2 against httpbin: on gunicorn 613 pass, 15 are skipped, one
//!   fails as expected and 4 fail; here it is the same 613 and the same 4, which want an address of
//!   the internet that does not answer.
//! - Django 5.2's `tests/servers` and `tests/wsgi` with this server as the live server: of 35 tests
//!   30 pass, 2 are skipped as with Django's own, and 3 fail. One wants the connection closed after
//!   a response without a length, which is chunked here; two want it to stay open after a request
//!   that says `Connection: close`, which RFC 9112 (section 9.6) forbids.
//!
//! And 10,000 requests with a body, on one worker, left 3 objects fewer than before and 1,402 bytes
//! more, by `gc` and `tracemalloc` (`REQUESTS=10000 pytest -rP tests/python/test_server.py -k
//! leave_nothing`; CI sends 2,000).
//!
//! In a test of your own a live server is `with vestibule_wsgi.Server(app) as server:`, at
//! `server.port`.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "python")]
mod app;
#[cfg(feature = "python")]
mod call;
#[cfg(feature = "python")]
mod environ;
#[cfg(feature = "python")]
mod error;
#[cfg(feature = "python")]
mod errors;
#[cfg(feature = "python")]
mod feed;
#[cfg(feature = "python")]
mod file_wrapper;
#[cfg(feature = "python")]
mod forks;
#[cfg(feature = "python")]
mod input;
#[cfg(feature = "embed")]
mod interpreter;
#[cfg(feature = "python")]
mod load;
#[cfg(feature = "python")]
mod outbox;
#[cfg(feature = "python")]
mod pool;
#[cfg(feature = "python")]
mod progress;
#[cfg(feature = "python")]
mod queue;
#[cfg(feature = "wheel")]
mod server;
#[cfg(feature = "python")]
mod start_response;
#[cfg(feature = "python")]
mod threads;
#[cfg(feature = "python")]
mod variables;
#[cfg(feature = "python")]
mod wait;

#[cfg(feature = "python")]
pub use app::{WsgiApp, WsgiOptions};
#[cfg(feature = "python")]
pub use error::LoadError;
