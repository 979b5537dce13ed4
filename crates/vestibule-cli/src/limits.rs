//! What a connection may take, as the options say.

use vestibule::App;
use vestibule::hyper::Server;

use crate::args::Connections;

/// The server within the limits that the options say.
pub fn limited<A: App>(mut server: Server<A>, options: &Connections) -> Server<A> {
    if options.strict {
        server = server.strict();
    }
    if let Some(count) = options.max_connections {
        server = server.max_connections(count);
    }
    if let Some(count) = options.max_per_address {
        server = server.max_per_address(count);
    }
    if let Some(time) = options.header_timeout {
        server = server.header_timeout(time).first_byte_timeout(time);
    }
    if let Some(time) = options.idle_timeout {
        server = server.idle_timeout(time);
    }
    if let Some(time) = options.write_timeout {
        server = server.write_timeout(time);
    }
    if let Some(time) = options.body_timeout {
        server = server.body_timeout(time);
    }
    if let Some(rate) = options.min_body_rate {
        server = server.min_body_rate(rate);
    }
    if let Some(count) = options.max_requests_per_connection {
        server = server.max_requests(count);
    }
    if let Some(age) = options.max_connection_age {
        server = server.max_connection_age(age);
    }
    if options.title_case_headers {
        server = server.title_case_headers(true);
    }
    if let Some(time) = options.tcp_keep_alive {
        server = server.tcp_keep_alive(Some(time).filter(|time| !time.is_zero()));
    }
    if let Some(bytes) = options.max_header_bytes {
        server = server.max_header_bytes(bytes);
    }
    if let Some(threads) = options.workers {
        server = server.workers(threads);
    }
    if !options.proxy_protocol.is_empty() {
        let trusted = options.proxy_protocol.clone();
        server = server.proxy_protocol(move |peer| {
            let is_in = |ip| trusted.iter().any(|network| network.contains(ip));
            peer.ip().is_some_and(is_in)
        });
    }
    if let Some(time) = options.drain_delay {
        server = server.drain_delay(time);
    }
    if let Some(time) = options.drain_timeout {
        server = server.drain_timeout(time);
    }
    server
}
