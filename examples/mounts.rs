//! Several apps in one URL space, each with the middleware that it needs:
//! `cargo run --example mounts`, then open `http://127.0.0.1:8080/`.

use vestibule::files::StaticFiles;
use vestibule::logging::{AccessLog, ServerTiming};
use vestibule::prelude::*;
use vestibule::{Mount, PathView};

/// Greets the name in the path: `/api/ada`.
async fn greet(request: Request) -> Result<String, Failure> {
    let names = PathView::of(&request)?
        .segments()
        .map(|segment| String::from_utf8(segment.into_owned()))
        .collect::<Result<Vec<_>, _>>()?;
    let mount = Mount::of(&request).map_or("", Mount::prefix);
    Ok(match names.is_empty() {
        true => format!("Add a name to {mount}, as in {mount}/ada.\n"),
        false => format!("Hello, {}!\n", names.join(" and ")),
    })
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let api = Stack::new().with(ServerTiming::new).app(greet);
    let site = StaticFiles::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/site"));
    let app = Stack::new()
        .with(AccessLog::new)
        .app(Mounts::new().at("/api", api).at("/", site));
    print!("{}", app.outline());
    vestibule::serve("127.0.0.1:8080", app).await
}
