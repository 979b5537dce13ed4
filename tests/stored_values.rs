//! A value that a layer or an adapter stores can be read in the same way from every kind of
//! message.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use vestibule::auth::{Authenticate, ForwardAuth, Identity, Require, SignedUrl};
use vestibule::environ::Environ;
use vestibule::files::StaticFiles;
use vestibule::hyper::{Shutdown, TlsInfo};
use vestibule::logging::{RequestId, TraceContext, TraceParent};
use vestibule::security::RedirectHttps;
use vestibule::{Address, Failure, Mount, Peer, QueueTime, RemoteUser, Scheme, Timing};
use vestibule::{App, BoxApp, UnknownPrefix};

/// A foreign body type, as axum's handlers and tower's services have.
struct ForeignBody;

/// Reads `$Value` from a request, from a response, from the parts of both and from their
/// extensions.
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

/// A foreign router may have removed a prefix of the request's path. All code that decides by the
/// whole path refuses it, and a redirect to a directory stays below the prefix.
#[tokio::test]
async fn an_unknown_prefix_is_refused_by_all_readers_of_whole_paths() {
    let ask = async |app: BoxApp, uri: &str| {
        let mut request = vestibule::Request::default();
        *request.uri_mut() = uri.parse().unwrap();
        request
            .headers_mut()
            .insert("host", "localhost".parse().unwrap());
        request.extensions_mut().insert(UnknownPrefix);
        let response = app.call(request).await;
        let location = response.headers().get("location");
        let location = location.map_or("", |location| location.to_str().unwrap());
        (response.status().as_u16(), location.to_owned())
    };
    let leaf = || (async |_: vestibule::Request| "in").boxed();
    let signer = SignedUrl::new([7; 32]);
    let hour = Duration::from_secs(3600);
    let signed = signer.sign("/sub", hour);
    let allow_all = (async |_: vestibule::Request| StatusCode::NO_CONTENT).boxed();
    let cases: [(&str, BoxApp, &str, u16, &str); 6] = [
        (
            "a guard of paths",
            Require::new(leaf()).under("/other").boxed(),
            "/sub",
            500,
            "",
        ),
        (
            "a guard with exceptions",
            Require::new(leaf()).except("/sub").boxed(),
            "/sub",
            500,
            "",
        ),
        (
            "RedirectHttps",
            RedirectHttps::new(leaf()).boxed(),
            "/sub",
            500,
            "",
        ),
        (
            "ForwardAuth",
            ForwardAuth::new(leaf(), "http://auth/".parse().unwrap(), allow_all).boxed(),
            "/sub",
            500,
            "",
        ),
        (
            "SignedUrl",
            Authenticate::new(leaf(), signer).boxed(),
            &signed,
            403,
            "",
        ),
        (
            "StaticFiles",
            StaticFiles::new("../../examples").boxed(),
            "/site",
            308,
            "./site/",
        ),
    ];
    for (name, app, uri, status, location) in cases {
        assert_eq!(ask(app, uri).await, (status, location.to_owned()), "{name}");
    }
}

/// These values have no public constructor: the test checks the signature, and the result when
/// there is no value.
#[test]
fn values_of_adapters_are_read_from_any_message() {
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
