//! The output of the example that exports traces, read as a collector does.

#[allow(dead_code, unreachable_pub)] // its `main` is not run here
#[path = "../examples/otlp.rs"]
mod example;

use serde_json::Value;
use tokio::sync::mpsc::unbounded_channel;
use tracing::instrument::WithSubscriber;
use tracing_subscriber::layer::SubscriberExt;
use vestibule::hyper::Server;
use vestibule::logging::Trace;
use vestibule::prelude::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test(flavor = "current_thread")]
async fn spans_are_exported_as_otlp() {
    let (tell, mut told) = unbounded_channel();
    let collector = move |request: Request| {
        let tell = tell.clone();
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let kind = request.headers()["content-type"].clone();
            let body = request.into_body().collect(1 << 20).await.unwrap();
            tell.send((line, kind, body)).unwrap();
            ([("content-type", "application/json")], "{}")
        }
    };
    let bound = Server::new(collector).bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/", bound.address());
    tokio::spawn(bound.run_until(std::future::pending()));

    let (exporter, spans) = example::Exporter::new();
    let sender = std::thread::spawn(move || example::send_all(&endpoint, &spans));
    let subscriber = tracing_subscriber::registry().with(exporter);
    let ask = async {
        let app = Trace::new(|_: Request| async {
            (http::StatusCode::SERVICE_UNAVAILABLE, "a \"busy\" day")
        });
        let mut request = Request::default();
        *request.uri_mut() = http::Uri::from_static("/rooms/7?free=1");
        let headers = request.headers_mut();
        headers.insert("traceparent", http::HeaderValue::from_static(PARENT));
        headers.insert("user-agent", http::HeaderValue::from_static("a \"client\""));
        let response = app.call(request).await;
        response.into_body().collect(100).await.unwrap();
    };
    ask.with_subscriber(subscriber).await;

    let (line, kind, body) = told.recv().await.unwrap();
    assert_eq!(
        (line.as_str(), kind.as_bytes()),
        ("POST /v1/traces", &b"application/json"[..])
    );
    let sent: Value = serde_json::from_slice(&body).unwrap();
    let resource = &sent["resourceSpans"][0];
    assert_eq!(resource["resource"]["attributes"][0]["key"], "service.name");
    let span = &resource["scopeSpans"][0]["spans"][0];
    assert_eq!(span["traceId"], PARENT[3..35]);
    assert_eq!(span["parentSpanId"], PARENT[36..52]);
    let id = span["spanId"].as_str().unwrap();
    assert!(
        id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{id}"
    );
    // SPAN_KIND_SERVER and STATUS_CODE_ERROR.
    assert_eq!(
        (&span["name"], &span["kind"], &span["status"]["code"]),
        (&"GET".into(), &2.into(), &2.into())
    );
    let time = |name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
    assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"));
    let attribute = |name: &str| {
        let mut all = span["attributes"].as_array().unwrap().iter();
        all.find(|attribute| attribute["key"] == name)
            .unwrap_or_else(|| panic!("no {name} in {span}"))["value"]
            .clone()
    };
    assert_eq!(attribute("http.request.method")["stringValue"], "GET");
    assert_eq!(attribute("url.path")["stringValue"], "/rooms/7");
    assert_eq!(attribute("http.response.status_code")["intValue"], "503");
    assert_eq!(attribute("http.response.body.size")["intValue"], "12");
    assert!(
        attribute("user_agent.original")["stringValue"]
            .as_str()
            .unwrap()
            .contains("client")
    );
    drop(told);
    // The exporter was dropped with its subscriber.
    sender.join().unwrap();
}
