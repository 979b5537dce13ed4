//! The time that a request waited in a queue.

use std::time::Duration;

use crate::HasExtensions;

/// The time that a request waited in a queue, for example for a free thread of a pool.
///
/// It is an extension of responses, for an access log. The wait is a part of the duration of the
/// request. A long wait means too little capacity, and not a slow app.
///
/// ```
/// use std::time::Duration;
/// use vestibule_core::{QueueTime, Response};
///
/// let mut response = Response::default();
/// assert_eq!(QueueTime::of(&response), None);
/// response.extensions_mut().insert(QueueTime(Duration::from_millis(3)));
/// assert_eq!(QueueTime::of(&response), Some(Duration::from_millis(3)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueTime(pub Duration);

impl QueueTime {
    /// Returns the time that the request of a response waited, when a queue has stored it.
    ///
    /// `source` is a response of any body, its `Parts`, or its extensions.
    #[must_use]
    pub fn of(source: &impl HasExtensions) -> Option<Duration> {
        source.extensions().get::<Self>().map(|time| time.0)
    }
}
