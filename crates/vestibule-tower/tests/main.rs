//! The four directions against tower, tower-http, axum and hyper.

#![allow(clippy::unwrap_used)] // what tests share is a test as well, which clippy cannot know

mod bodies;
mod built_once;
mod common;
mod frameworks;
mod http_layers;
mod layers;
mod mistakes;
mod readiness;
mod responses;
mod roles;
mod tower_layers;
mod with_body;
