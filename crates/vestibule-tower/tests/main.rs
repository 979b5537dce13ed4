//! The four directions against tower, tower-http, axum and hyper.

mod bodies;
mod common;
mod frameworks;
mod http_layers;
mod readiness;
mod tower_layers;
mod upgrade;
