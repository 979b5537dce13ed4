#![doc = include_str!("../README.md")]

mod inspect;
mod json;

pub use inspect::Inspect;
