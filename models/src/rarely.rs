//! Replaces the rate limit of log lines in the models: each line is written.

#[derive(Debug, Default)]
pub(crate) struct Rarely;

impl Rarely {
    #[allow(clippy::unused_self, reason = "the original uses its clock")]
    pub(crate) fn line(&self) -> Option<u64> {
        Some(0)
    }
}
