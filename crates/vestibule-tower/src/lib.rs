#![doc = include_str!("../README.md")]

mod errors;
mod from_layer;
mod from_service;
mod hyper;
mod layer;
mod line;
mod service;
mod shared;

pub use errors::{OnError, failure};
pub use from_layer::{from_layer, from_layer_shared};
pub use from_service::{FromService, HttpService, from_service};
pub use hyper::{FromHyper, from_hyper, hyper_service};
pub use layer::{AppLayer, AppLayerShared, layer, layer_shared};
pub use service::{AppService, ResponseFuture, service};
pub use shared::{FromServiceShared, from_service_shared};
