//! Measures a layer: instructions, allocations and bytes of future, beside tower and axum.
//!
//! `cargo bench --bench layers` prints the table and fails when a bar is not met. Instructions are
//! counted by valgrind's callgrind, so they are the same whatever else the machine does; `valgrind`
//! is a Debian package.

mod count;
mod roomy;

use http::{HeaderName, HeaderValue};
use roomy::{Roomy, call, call_axum, call_tower, roomy, roomy_axum};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_layer::Layer;
use vestibule::prelude::*;

/// A layer as a user writes it: it sets a header on the way out.
struct SetHeader<A> {
    app: A,
    name: &'static HeaderName,
}

impl<A: App> App for SetHeader<A> {
    async fn call(&self, request: Request) -> Response {
        let mut response = self.app.call(request).await;
        let value = HeaderValue::from_static("1");
        response.headers_mut().insert(self.name.clone(), value);
        response
    }
}

/// The names that the layers set, of twelve that differ.
static NAMES: [HeaderName; 12] = [
    HeaderName::from_static("x-a"),
    HeaderName::from_static("x-b"),
    HeaderName::from_static("x-c"),
    HeaderName::from_static("x-d"),
    HeaderName::from_static("x-e"),
    HeaderName::from_static("x-f"),
    HeaderName::from_static("x-g"),
    HeaderName::from_static("x-h"),
    HeaderName::from_static("x-i"),
    HeaderName::from_static("x-j"),
    HeaderName::from_static("x-k"),
    HeaderName::from_static("x-l"),
];

macro_rules! nested {
    ($app:expr $(, $index:literal)*) => {{
        let app = $app;
        $(let app = SetHeader { app, name: &NAMES[$index] };)*
        app
    }};
}

fn stacked(layers: usize) -> BoxApp {
    let set = |stack: Stack, index| {
        stack.with(move |app| SetHeader {
            app,
            name: &NAMES[index],
        })
    };
    (0..layers).fold(Stack::new(), set).app(roomy)
}

fn tower_layer(index: usize) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(NAMES[index].clone(), HeaderValue::from_static("1"))
}

fn axum_router(layers: usize) -> axum::Router {
    let router = axum::Router::new().route("/", axum::routing::get(roomy_axum));
    (0..layers).fold(router, |router, index| router.layer(tower_layer(index)))
}

const CASES: &[count::Case] = &[
    ("stack, 0 layers", || {
        let app = stacked(0);
        Box::new(move || call(&app))
    }),
    ("stack, 6 layers", || {
        let app = stacked(6);
        Box::new(move || call(&app))
    }),
    ("nested, 0 layers", || Box::new(|| call(&roomy))),
    ("nested, 6 layers", || {
        let app = nested!(roomy, 0, 1, 2, 3, 4, 5);
        Box::new(move || call(&app))
    }),
    ("tower static, 0 layers", || Box::new(|| call_tower(&Roomy))),
    ("tower static, 6 layers", || {
        let service = tower_layer(0).layer(Roomy);
        let service = tower_layer(2).layer(tower_layer(1).layer(service));
        let service = tower_layer(4).layer(tower_layer(3).layer(service));
        let service = tower_layer(5).layer(service);
        Box::new(move || call_tower(&service))
    }),
    ("axum, 0 layers", || {
        let router = axum_router(0);
        Box::new(move || call_axum(&router))
    }),
    ("axum, 6 layers", || {
        let router = axum_router(6);
        Box::new(move || call_axum(&router))
    }),
    // As `axum::serve` prepares a router: its layers are applied once, and not for each request.
    ("axum served, 0 layers", || {
        let router = axum_router(0).with_state(());
        Box::new(move || call_axum(&router))
    }),
    ("axum served, 6 layers", || {
        let router = axum_router(6).with_state(());
        Box::new(move || call_axum(&router))
    }),
];

fn main() -> std::process::ExitCode {
    count::run(CASES, |counts| {
        println!(
            "\n{:<16} {:>24} {:>22}",
            "a layer costs", "instructions a request", "allocations a request"
        );
        let mut bars = Vec::new();
        for kind in ["stack", "nested", "tower static", "axum", "axum served"] {
            let of = |layers| counts.of(&format!("{kind}, {layers} layers"));
            let (none, six) = (of(0), of(6));
            let instructions = (six.instructions - none.instructions) / 6.0;
            let allocations = (six.allocations - none.allocations) / 6.0;
            println!("{kind:<16} {instructions:>24.0} {allocations:>22.1}");
            match kind {
                "stack" => bars.extend([
                    count::at_most("stack: instructions a layer", instructions, 900.0),
                    count::at_most("stack: allocations a layer", allocations, 1.0),
                ]),
                "nested" => bars.extend([
                    count::at_most("nested: instructions a layer", instructions, 550.0),
                    count::at_most("nested: allocations a layer", allocations, 0.0),
                ]),
                _ => {}
            }
        }
        let six = |kind| counts.of(&format!("{kind}, 6 layers")).instructions;
        bars.push(count::at_most(
            "six layers, stack to axum",
            six("stack") / six("axum"),
            0.25,
        ));

        let nest = nested!(roomy, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
        let future = size_of_val(&nest.call(Request::default())) as f64;
        bars.push(count::at_most(
            "a nest of 12 layers: bytes of future",
            future,
            4096.0,
        ));
        let hundred = (0..100).fold(Stack::new(), |stack, index| {
            stack.with(move |app| SetHeader {
                app,
                name: &NAMES[index % 12],
            })
        });
        call(&hundred.app(roomy));
        println!("a stack of 100 layers answers");
        bars
    })
}
