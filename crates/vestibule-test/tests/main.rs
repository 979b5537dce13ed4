//! Tests the battery with correct middleware and with a broken middleware for each case.

mod broken;
mod client;
mod core_middleware;
