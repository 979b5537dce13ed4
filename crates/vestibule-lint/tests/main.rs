//! Planted faults, one for each rule, and correct apps of which nothing is said.

mod correct;
mod faults;
mod modes;
mod support;
