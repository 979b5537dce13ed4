//! A tower service is mounted without `from_service`.

use tower_http::services::ServeDir;
use vestibule_core::Mounts;

fn main() {
    let _ = Mounts::new().at("/files", ServeDir::new("public"));
}
