//! Streaming: single events, clients that disconnect, bodies that fail.

use std::io::Read;

use crate::front::{Ask, ROUTES, Route, WebServers};
use crate::probe::touch;
use crate::web_server::until;

/// The first event arrives before the second is sent.
#[test]
fn events_come_one_by_one() {
    let house = WebServers::start();
    for (at, route) in ROUTES.into_iter().enumerate() {
        let gate = house.dir.join(format!("gate{at}"));
        let ask = Ask::get(format!("/events?{}", gate.display()));
        let mut stream = ask.open(house.port(route), route.prefix).unwrap();
        let mut text = String::new();
        let mut buffer = [0; 1000];
        while !text.contains("data: 1") {
            let count = stream.read(&mut buffer).unwrap_or(0);
            assert!(count > 0, "{route:?} holds events back: {text}");
            text += &String::from_utf8_lossy(&buffer[..count]);
        }
        assert!(!text.contains("data: 2"), "{route:?}");
        touch(&gate);
        stream.read_to_string(&mut text).unwrap();
        assert!(text.contains("data: 2"), "{route:?}: {text}");
    }
}

/// A client that disconnects in the middle of a response ends the app's body.
#[test]
fn clients_that_disconnect_are_detected() {
    let house = WebServers::start();
    for (at, route) in ROUTES.into_iter().enumerate() {
        let end = house.dir.join(format!("end{at}"));
        let ask = Ask::get(format!("/endless?{}", end.display()));
        let mut stream = ask.open(house.port(route), route.prefix).unwrap();
        let mut buffer = [0; 1000];
        assert!(stream.read(&mut buffer).unwrap_or(0) > 0, "{route:?}");
        drop(stream);
        assert!(
            until(|| end.exists()),
            "{route:?}: the app is still at work"
        );
    }
}

/// An incomplete response looks incomplete to the client, if the protocol supports that.
#[test]
fn incomplete_responses_look_incomplete() {
    let house = WebServers::start();
    let looks_whole = |route: &Route| {
        let answer = house.ask(*route, &Ask::get("/broken"));
        answer.is_whole && answer.status < 500
    };
    let hidden: Vec<_> = ROUTES.into_iter().filter(looks_whole).collect();
    let names: Vec<_> = hidden
        .iter()
        .map(|route| (route.front, route.prefix))
        .collect();
    // Apache ignores the length of these responses, and reads a close as their end.
    let expected = [("apache", "/scgi"), ("apache", "/cgi")];
    assert_eq!(names, expected);
}
