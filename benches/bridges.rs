//! Measures the cost of the bridges to tower and back, beside axum's own `from_fn`.
//!
//! `cargo bench --bench bridges` prints the table and fails when a bar is not met. See `layers.rs`
//! for how it counts.

mod count;
mod roomy;

use http::{HeaderName, HeaderValue};
use roomy::{Roomy, call, call_axum, call_tower, roomy, roomy_axum};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_layer::Layer;
use tower_service::Service;
use vestibule::prelude::*;
use vestibule::tower::{from_layer, from_service, layer, layer_each, service};

/// The layer of ours that crosses: it sets a header on the way out.
struct SetHeader<A> {
    app: A,
}

impl<A: App> App for SetHeader<A> {
    async fn call(&self, request: Request) -> Response {
        let mut response = self.app.call(request).await;
        response
            .headers_mut()
            .insert(NAME, HeaderValue::from_static("1"));
        response
    }
}

/// The same as axum writes it.
async fn set_header(
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .insert(NAME, HeaderValue::from_static("1"));
    response
}

fn router() -> axum::Router {
    axum::Router::new().route("/", axum::routing::get(roomy_axum))
}

/// Prepares a router as `axum::serve` does: its layers are applied once. A router without this
/// applies every layer for each request, and so measures how a layer is built.
fn served(router: axum::Router) -> Box<dyn Fn()> {
    axum(router.with_state(()))
}

fn tower_layer() -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(NAME, HeaderValue::from_static("1"))
}

fn app(app: impl App) -> Box<dyn Fn()> {
    Box::new(move || call(&app))
}

fn tower<S: Service<Request> + Clone + 'static>(service: S) -> Box<dyn Fn()> {
    Box::new(move || call_tower(&service))
}

fn axum(router: axum::Router) -> Box<dyn Fn()> {
    Box::new(move || call_axum(&router))
}

const CASES: &[count::Case] = &[
    ("our stack alone", || app(Stack::new().app(roomy))),
    ("our layer in our stack", || {
        app(Stack::new().with(|app| SetHeader { app }).app(roomy))
    }),
    ("tower's layer in our stack", || {
        app(Stack::new().with(from_layer(tower_layer())).app(roomy))
    }),
    ("tower's layer on a service", || {
        tower(tower_layer().layer(Roomy))
    }),
    ("our layer on a service", || {
        tower(layer_each(|app| SetHeader { app }).layer(Roomy))
    }),
    ("our layer on a service, built once", || {
        tower(layer(|app| SetHeader { app }).layer(Roomy))
    }),
    ("axum alone", || served(router())),
    ("axum's from_fn in axum", || {
        served(router().layer(axum::middleware::from_fn(set_header)))
    }),
    ("tower's layer in axum", || {
        served(router().layer(tower_layer()))
    }),
    ("our layer in axum", || {
        served(router().layer(layer(|app| SetHeader { app })))
    }),
    ("two of our layers in axum", || {
        let layers = router().layer(layer(|app| SetHeader { app }));
        served(layers.layer(layer(|app| SetHeader { app })))
    }),
    ("our layer in axum, by layer_each", || {
        served(router().layer(layer_each(|app| SetHeader { app })))
    }),
    ("our stack around axum", || {
        let stack = Stack::new().with(|app| SetHeader { app });
        tower(service(stack.app(from_service(router().with_state(())))))
    }),
    ("axum's from_fn, made anew", || {
        axum(router().layer(axum::middleware::from_fn(set_header)))
    }),
    ("our layer in axum, made anew", || {
        axum(router().layer(layer(|app| SetHeader { app })))
    }),
    ("axum as an app", || {
        app(from_service(router().with_state(())))
    }),
];

fn main() -> std::process::ExitCode {
    count::run(CASES, |counts| {
        let mut bars = Vec::new();
        let crossings = [
            ("tower's layer in our stack", "our layer in our stack"),
            ("our layer on a service", "tower's layer on a service"),
            ("axum as an app", "axum alone"),
        ];
        for (across, at_home) in crossings {
            let (across_it, home) = (counts.of(across), counts.of(at_home));
            let instructions = across_it.instructions - home.instructions;
            let allocations = across_it.allocations - home.allocations;
            bars.push(count::at_most(
                format!("{across}: more instructions than {at_home}"),
                instructions,
                1500.0,
            ));
            bars.push(count::at_most(
                format!("{across}: more allocations than {at_home}"),
                allocations,
                2.0,
            ));
        }
        let from_fn = counts.of("axum's from_fn in axum").instructions;
        let ours = counts.of("our layer in axum").instructions;
        let what = "our layer in axum: more allocations than axum's own from_fn";
        let allocations = |case| counts.of(case).allocations;
        let more = allocations("our layer in axum") - allocations("axum's from_fn in axum");
        bars.push(count::at_most(what, more, 2.0));
        // It also finds the service inside, the client, and the whole path of a nest.
        let what = "our layer in axum: more instructions than axum's own from_fn";
        bars.push(count::at_most(what, ours - from_fn, 2200.0));
        let each = counts.of("our layer in axum, by layer_each").instructions;
        let what = "our layer in axum, by layer_each: more instructions than axum's own from_fn";
        bars.push(count::at_most(what, each - from_fn, 1000.0));
        bars
    })
}

const NAME: HeaderName = HeaderName::from_static("x-a");
