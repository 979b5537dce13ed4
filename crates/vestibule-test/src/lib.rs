#![doc = include_str!("../README.md")]

mod answer;
mod battery;
mod client;
mod text;

pub use answer::Answer;
pub use battery::{Battery, Report, battery};
pub use client::{Client, Piece, Reply, answer, ask};
pub use text::request;
