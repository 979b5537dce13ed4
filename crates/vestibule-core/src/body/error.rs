//! The error type of a body.

use std::any::Any;
use std::error::Error;
use std::fmt;

use crate::BoxError;

/// The error that ends a [`Body`](super::Body).
///
/// It holds the error of the source that failed, of any type. `Display` and `Debug` are those of
/// the inner error. [`source()`](Error::source) returns the inner error, so code that searches a
/// chain of sources finds it. Unlike a `Box<dyn Error>`, it implements [`Error`], as layers with
/// the bound `B::Error: Error` demand.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::io;
/// use vestibule_core::Body;
///
/// let (mut sender, mut body) = Body::channel();
/// sender.abort(io::Error::other("the disk is gone"));
///
/// let error = body.frame().await.unwrap().unwrap_err();
/// assert_eq!(error.to_string(), "the disk is gone");
/// assert!(error.is::<io::Error>());
/// # }
/// ```
///
/// # Details
///
/// A `BodyError` never holds another `BodyError` directly: a conversion takes the inner error out.
/// It has the size of the box inside and adds no allocation.
pub struct BodyError(BoxError);

impl BodyError {
    /// Wraps an error. A `BodyError` is returned as it is.
    ///
    /// ```
    /// use vestibule_core::{Abort, BodyError};
    ///
    /// assert!(BodyError::new(BodyError::new(Abort)).is::<Abort>());
    /// assert_eq!(BodyError::new("the disk is gone").to_string(), "the disk is gone");
    /// ```
    pub fn new(error: impl Into<BoxError> + 'static) -> Self {
        // `Into` would box a `BodyError` again, and the code below would unbox it.
        let mut error = Some(error);
        if let Some(own) = (&mut error as &mut dyn Any).downcast_mut::<Option<Self>>()
            && let Some(own) = own.take()
        {
            return own;
        }
        match error {
            Some(error) => Self::from(error.into()),
            None => unreachable!("only a `BodyError` is taken out above, and it is returned"),
        }
    }

    /// Returns the inner error.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }

    /// Takes the inner error out.
    ///
    /// ```
    /// use vestibule_core::{Abort, BodyError};
    ///
    /// let inner = BodyError::new(Abort).into_inner();
    /// assert!(inner.is::<Abort>());
    /// ```
    #[must_use]
    pub fn into_inner(self) -> BoxError {
        self.0
    }

    /// Returns whether the inner error is an `E`. The sources of the inner error do not count.
    #[must_use]
    pub fn is<E: Error + 'static>(&self) -> bool {
        self.0.is::<E>()
    }

    /// Returns the inner error if it is an `E`.
    ///
    /// ```
    /// use vestibule_core::{Body, LengthMismatch};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let mut body = Body::from("four").with_length(3);
    /// let error = body.frame().await.unwrap().unwrap_err();
    /// let mismatch = error.downcast_ref::<LengthMismatch>().unwrap();
    /// assert_eq!((mismatch.length, mismatch.bytes), (3, 4));
    /// # }
    /// ```
    #[must_use]
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }

    /// Takes the inner error out if it is an `E`.
    ///
    /// # Errors
    ///
    /// Returns the error unchanged if its inner error has another type.
    pub fn downcast<E: Error + 'static>(self) -> Result<Box<E>, Self> {
        self.0.downcast().map_err(Self)
    }
}

impl From<BoxError> for BodyError {
    fn from(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => *own,
            Err(error) => Self(error),
        }
    }
}

impl From<&str> for BodyError {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for BodyError {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Error for BodyError {
    /// The inner error.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{Abort, Body, Failure};

    #[test]
    fn is_as_small_as_a_box_and_an_error() {
        fn check<E: Error + Send + Sync + 'static>() {}
        check::<BodyError>();
        check::<<Body as http_body::Body>::Error>();
        assert_eq!(size_of::<BodyError>(), size_of::<BoxError>());
    }

    #[test]
    fn never_holds_another_one() {
        let boxed: BoxError = Box::new(BodyError::new(Abort));
        let cases = [
            ("new", BodyError::new(BodyError::new(Abort))),
            ("a box in new", BodyError::new(boxed)),
            (
                "a box in from",
                BodyError::from(BoxError::from(BodyError::new(Abort))),
            ),
        ];
        for (way, error) in cases {
            assert!(error.is::<Abort>(), "{way}");
            assert!(error.into_inner().is::<Abort>(), "{way}");
        }
    }

    #[test]
    fn the_inner_error_is_found_and_taken_out() {
        let error = || BodyError::new(io::Error::from(io::ErrorKind::TimedOut));
        assert!(error().source().unwrap().is::<io::Error>());
        assert!(error().get_ref().is::<io::Error>());
        let kind = error().downcast_ref::<io::Error>().map(io::Error::kind);
        assert_eq!(kind, Some(io::ErrorKind::TimedOut));
        let error = error().downcast::<Abort>().unwrap_err();
        assert_eq!(
            error.downcast::<io::Error>().unwrap().kind(),
            io::ErrorKind::TimedOut
        );
    }

    /// A printed chain contains each text once.
    #[test]
    fn a_failure_prints_the_cause_once() {
        let failure = Failure::new(BodyError::new(io::Error::other("disk")));
        assert_eq!(failure.to_string(), "disk");
        assert!(failure.error().is::<io::Error>());
        let error = crate::CollectError::Body("disk".into());
        assert_eq!(Failure::new(error).to_string(), "the body broke off: disk");
    }
}
