//! What the metrics say is what Prometheus reads.

use vestibule_core::{App, Request};
use vestibule_logging::{Metrics, Registry, Samples, Sink};

use crate::support::{get, run};

async fn counted(registry: Registry) -> Registry {
    let (_, sink) = Sink::memory();
    let registry = registry.with_log(sink);
    let odd = |samples: &mut Samples<'_>| {
        samples.add(&["a\"\\\n"], 1.5);
        samples.add(&["b"], f64::INFINITY);
    };
    let help = "With a \\ and\na line.";
    registry.gauge("shop_load", help, &["kind"], odd).unwrap();
    registry
        .counter("shop_orders", "Orders.", &["kind"], odd)
        .unwrap();
    let app = Metrics::new(|_: Request| async { "hello" })
        .to(registry.clone())
        .route(|_| "/{a}\\\"\n".into());
    for _ in 0..3 {
        let response = app.call(get("/x")).await;
        response.into_body().collect(9).await.unwrap();
    }
    drop(app.call(get("/y")).await);
    registry
}

#[tokio::test]
async fn promtool_finds_nothing_to_say() {
    for registry in [
        Registry::new(),
        Registry::new().exact_status(true),
        Registry::new().opentelemetry(true),
    ] {
        let page = counted(registry).await.prometheus();
        let said = run("promtool", &["check", "metrics"], &page, "prometheus");
        assert_eq!(said, "", "{page}");
    }
}

#[tokio::test]
async fn the_python_client_reads_openmetrics() {
    let registry = counted(Registry::new()).await;
    let program = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = {family.name: family for family in text_string_to_metric_families(sys.stdin.read())}
for name, labels, value, *_ in families['http_server_request_duration_seconds'].samples:
    if name.endswith('_count') and labels['status'] == '2xx':
        print(labels['route'] == '/{a}\\\\\"\\n', int(value))
";
    let python = "python3, and prometheus_client by pip";
    let said = run("python3", &["-c", program], &registry.openmetrics(), python);
    assert_eq!(said, "True 3\n");
}
