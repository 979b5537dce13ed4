//! A value that a layer or an adapter stores is read in the same way from every kind of message.

use std::time::Duration;

use http::{Request, Response};
use vestibule::auth::Identity;
use vestibule::environ::Environ;
use vestibule::hyper::{Shutdown, TlsInfo};
use vestibule::logging::{RequestId, TraceContext, TraceParent};
use vestibule::{Address, Failure, Mount, Peer, QueueTime, RemoteUser, Scheme, Timing};

/// A body that is not ours, as axum's handlers and tower's services have.
struct ForeignBody;

/// Reads `$Value` from a request, from a response, from the parts of both and from their extensions.
macro_rules! is_read_everywhere {
    ($($value:expr => $Value:ident,)+) => {$({
        let value = $value;
        let mut request = Request::new(ForeignBody);
        let mut response = Response::new(ForeignBody);
        assert!(format!("{:?}", $Value::of(&request)) != format!("{:?}", Some(&value)));
        request.extensions_mut().insert(value.clone());
        response.extensions_mut().insert(value);
        let stored = format!("{:?}", $Value::of(request.extensions()));
        assert_ne!(stored, "None", "{}", stringify!($Value));
        assert_eq!(format!("{:?}", $Value::of(&request)), stored);
        assert_eq!(format!("{:?}", $Value::of(&response)), stored);
        assert_eq!(format!("{:?}", $Value::of(&request.into_parts().0)), stored);
        assert_eq!(format!("{:?}", $Value::of(&response.into_parts().0)), stored);
    })+};
}

#[test]
fn values_of_layers_are_read_from_any_message() {
    let address = || Address::Tcp("192.0.2.1:80".parse().unwrap());
    is_read_everywhere! {
        Peer::new(address(), address()) => Peer,
        Scheme::Https => Scheme,
        Mount::new("/a/b", 2) => Mount,
        RemoteUser::new("alice", "Basic") => RemoteUser,
        QueueTime(Duration::from_millis(3)) => QueueTime,
        Failure::new("no more paper") => Failure,
        Identity::new("alice", "Basic") => Identity,
        RequestId::new() => RequestId,
    }
}

/// These have no public constructor: the signature is the test, with what it answers when nothing is there.
#[test]
fn values_of_adapters_are_asked_of_any_message() {
    let (parts, _) = Request::new(ForeignBody).into_parts();
    assert!(Environ::of(&parts).is_none());
    assert!(Shutdown::of(&parts).is_none());
    assert!(Timing::of(&parts).is_none());
    assert!(TlsInfo::of(&parts).is_none());
    assert_eq!(
        TraceContext::of(&parts).map(TraceContext::traceparent),
        None::<TraceParent>
    );
}
