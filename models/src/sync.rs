//! Replaces `std::sync` in the models: loom's types, and those of std that loom does not need to
//! track.

use std::time::Duration;

pub(crate) use std::sync::{Arc, LockResult, PoisonError};

pub(crate) use loom::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, atomic};

/// loom's condition variable, with the loops of std's methods.
#[derive(Debug, Default)]
pub(crate) struct Condvar(loom::sync::Condvar);

/// Whether the wait ended because of the timeout.
#[derive(Debug)]
pub(crate) struct Waited(bool);

impl Waited {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.0.wait(guard)
    }

    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, Waited)> {
        let mut has_waited = false;
        self.wait_timeout_while(guard, limit, |_| !std::mem::replace(&mut has_waited, true))
    }

    pub(crate) fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut holds: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        while holds(&mut guard) {
            guard = self.0.wait(guard)?;
        }
        Ok(guard)
    }

    /// Waits. A model has no clock: a short timeout expires at once, and a long one never does, so that a
    /// missing wake-up is detected.
    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        limit: Duration,
        mut holds: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, Waited)> {
        while holds(&mut guard) {
            if limit < Duration::from_secs(1) {
                return Ok((guard, Waited(true)));
            }
            guard = self
                .0
                .wait(guard)
                .map_err(|error| PoisonError::new((error.into_inner(), Waited(false))))?;
        }
        Ok((guard, Waited(false)))
    }
}
