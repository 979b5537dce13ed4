//! Tests of the bridges to tower, tower-http, axum and hyper, in both directions.

#![allow(clippy::unwrap_used)] // clippy does not see that shared test code is a test

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
