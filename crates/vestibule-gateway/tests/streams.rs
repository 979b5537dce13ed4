//! What flows: events one by one, clients that go away, bodies that break.

use std::io::Read;

use crate::front::{Ask, House, WAYS, Way};
use crate::probe::touch;
use crate::web_server::until;

/// The first event is there before the second is made.
#[test]
fn events_come_one_by_one() {
    let house = House::start();
    for (at, way) in WAYS.into_iter().enumerate() {
        let gate = house.dir.join(format!("gate{at}"));
        let ask = Ask::get(format!("/events?{}", gate.display()));
        let mut stream = ask.open(house.port(way), way.prefix).unwrap();
        let mut text = String::new();
        let mut buffer = [0; 1000];
        while !text.contains("data: 1") {
            let count = stream.read(&mut buffer).unwrap_or(0);
            assert!(count > 0, "{way:?} holds events back: {text}");
            text += &String::from_utf8_lossy(&buffer[..count]);
        }
        assert!(!text.contains("data: 2"), "{way:?}");
        touch(&gate);
        stream.read_to_string(&mut text).unwrap();
        assert!(text.contains("data: 2"), "{way:?}: {text}");
    }
}

/// A client that goes away in the middle of a response ends the app's body.
#[test]
fn clients_that_go_away_are_heard_of() {
    let house = House::start();
    for (at, way) in WAYS.into_iter().enumerate() {
        let end = house.dir.join(format!("end{at}"));
        let ask = Ask::get(format!("/endless?{}", end.display()));
        let mut stream = ask.open(house.port(way), way.prefix).unwrap();
        let mut buffer = [0; 1000];
        assert!(stream.read(&mut buffer).unwrap_or(0) > 0, "{way:?}");
        drop(stream);
        assert!(until(|| end.exists()), "{way:?}: the app is still at work");
    }
}

/// A response that broke off is not a whole one to the client, where the protocol can say so.
#[test]
fn what_broke_is_seen_to_be_broken() {
    let house = House::start();
    let looks_whole = |way: &Way| {
        let answer = house.ask(*way, &Ask::get("/broken"));
        answer.is_whole && answer.status < 500
    };
    let hidden: Vec<_> = WAYS.into_iter().filter(looks_whole).collect();
    let names: Vec<_> = hidden.iter().map(|way| (way.front, way.prefix)).collect();
    // Apache forgets the length that these were told, and takes a close for an end.
    let expected = [("apache", "/scgi"), ("apache", "/cgi")];
    assert_eq!(names, expected);
}
