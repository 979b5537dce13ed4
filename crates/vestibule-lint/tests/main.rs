//! Planted faults, one for each rule, and correct apps without violations.

mod correct;
mod faults;
mod modes;
mod support;
