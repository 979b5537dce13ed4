#![doc = include_str!("../README.md")]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "a field value comes from the network, and no input may panic"
    )
)]

pub mod accept_encoding;
pub mod content_range;
pub mod date;
pub mod etag;
pub mod host;
pub mod if_range;
pub mod list;
pub mod quality;
pub mod range;

use http::HeaderValue;

/// `value` as a header value. Every writer here makes printable ASCII or obs-text, which is all that a value may hold.
fn header_value(value: Vec<u8>) -> HeaderValue {
    #[expect(
        clippy::expect_used,
        reason = "a writer that breaks this is a bug of ours, not an input"
    )]
    HeaderValue::try_from(value).expect("writers make only visible ASCII, spaces and obs-text")
}
