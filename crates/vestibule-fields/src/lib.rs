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
pub mod authorization;
pub mod cache_control;
pub mod content_range;
pub mod date;
pub mod etag;
pub mod forwarded;
pub mod host;
pub mod if_range;
pub mod list;
pub mod media_type;
pub mod quality;
pub mod range;
pub mod trace_context;
pub mod www_authenticate;

use http::HeaderValue;

/// `value` as a header value. Every writer here makes printable ASCII or obs-text, which is all that a value may hold.
fn header_value(value: Vec<u8>) -> HeaderValue {
    #[expect(
        clippy::expect_used,
        reason = "a writer that breaks this is a bug of ours, not an input"
    )]
    HeaderValue::try_from(value).expect("writers make only visible ASCII, spaces and obs-text")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long values of what parsers stumble over. Were one of them quadratic, this test would be felt.
    #[test]
    fn hostile_values_cost_linear_time() {
        let now = date::HttpDate::MIN;
        let seeds = [
            ",",
            ";",
            "\"",
            "\\",
            "\"\\",
            "=",
            " ",
            "\t",
            ";q=",
            ";;;,,,q=",
            "a",
            "a,",
            "a;",
            "W/\"",
            "\"a\",",
            "\"a\" ",
            "*,",
            "*;q=0,",
            "bytes=",
            "0-1,",
            "-",
            "9",
            "[",
            "]",
            ":",
            "%41",
            "max-age=9,",
            "a/b;c=\"",
        ];
        for prefix in ["", "a/b;", "bytes=0-0,", "\"", "a:", "["] {
            for seed in seeds {
                let value = prefix.to_owned() + &seed.repeat((1 << 15) / seed.len());
                let _ = accept_encoding::AcceptEncoding::parse(&value).choose(&["br", "gzip"]);
                let _ = authorization::Authorization::parse(&value)
                    .map(|it| (it.token68(), it.parameter("q")));
                let _ = cache_control::CacheControl::parse(&value);
                let _ = date::HttpDate::parse(&value, now);
                let _ = etag::ETag::parse(&value);
                let _ = etag::ETagList::parse(&value).iter().count();
                let _ = forwarded::Forwarded::parse(&value).hops();
                let _ = host::Host::parse(&value);
                let _ = if_range::IfRange::parse(&value, now);
                let _ = list::unquote(value.as_bytes());
                let _ =
                    media_type::MediaType::parse(&value).map(|found| found.parameters().count());
                let weights = quality::Weights::parse(&value);
                let _ = weights
                    .iter()
                    .map(|weight| weight.parameters().count())
                    .sum::<usize>();
                let _ = range::Range::parse(&value).map(|range| range.within(1000));
                let _ = trace_context::TraceParent::parse(&value);
                let mut state = http::HeaderMap::new();
                state.insert(
                    trace_context::TRACESTATE,
                    value.parse().expect("visible ASCII"),
                );
                let _ = trace_context::state_from_headers(&state);
            }
        }
    }
}
