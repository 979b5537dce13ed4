//! HTTP field values.
