//! How long a request waited for its turn.

use std::time::Duration;

use crate::HasExtensions;

/// The time a request waited in a queue before the app was asked, as of a pool of threads.
///
/// An extension of responses, for an access log: it is part of the time that the request took, and says
/// that there is too little of something rather than that the app is slow.
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
