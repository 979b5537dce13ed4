#![doc = include_str!("../README.md")]

mod body;
mod exchange;
mod flow;
mod grammar;
mod lint;
mod request;
mod response;
mod rule;
mod spec;
mod torture;
mod violation;
mod waker;

pub use lint::Lint;
pub use rule::Rule;
pub use spec::spec;
pub use torture::{Torture, torture};
pub use violation::{Side, Violation};
