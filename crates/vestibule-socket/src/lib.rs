//! Where a server listens, for whoever writes one: `vestibule-hyper` and `vestibule-gateway` are
//! built on it.
//!
//! ```rust
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), vestibule_socket::BindError> {
//! use std::future::poll_fn;
//! use vestibule_socket::{Bind, Listener};
//!
//! let listener = Listener::bind(Bind::from("127.0.0.1:0")).await?;
//! let address = listener.address().to_string(); // with the port that it got
//!
//! let client = tokio::net::TcpStream::connect(address).await.unwrap();
//! let (_socket, peer) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
//! assert_eq!(peer.address().to_string(), client.local_addr().unwrap().to_string());
//! # Ok(()) }
//! ```
//!
//! | where | what |
//! |---|---|
//! | [`Bind`] | a place to listen: `127.0.0.1:8080`, `localhost:8080`, `unix:/run/app.sock`, or a socket that listens already |
//! | [`BindError`] | why that cannot be, and what to do about it |
//! | [`Listener`] | takes connections, and says who made each: an address, or the user and process behind a unix socket |
//! | [`Ownership`] | whether this process alone listens on a socket, and may end that |
//! | [`SocketFile`] | the file of a unix socket: it goes with the server, unless it has become another's |
//! | [`Backoff`] | what an accept loop does about an error |
//! | [`Rarely`] | lines of the log that clients can cause: one a second |
//! | [`log_order`] | warns of layers in the wrong order, when a server starts |
//!
//! A server that ends loses no connection: [`Listener::close`] refuses new ones and hands out those that wait.
//!
//! A unix socket on which nobody listens any more is replaced, one in use and any other file are
//! not. Its mode is set before anyone can connect. On Linux no more than 128 KiB wait in the kernel
//! for a client that reads slowly.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod backoff;
mod bind;
mod closing;
#[cfg(unix)]
mod file;
mod gate;
mod keep_alive;
mod listener;
mod order;
mod rarely;

pub use backoff::Backoff;
pub use bind::{Bind, BindError};
pub use closing::Ownership;
#[cfg(unix)]
pub use file::SocketFile;
pub use listener::{Detached, Listener, Socket};
pub use order::log_order;
pub use rarely::Rarely;
