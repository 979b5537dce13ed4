//! Responses on their way from Python's threads to the server's.
//!
//! To wake the server costs a call into the kernel, and Python's thread its core where there are few. So
//! a response is laid down here, and the server, which runs on one thread, collects what there is
//! whenever it has nothing else to do. It is woken only when it sleeps, and then not for each of those
//! that come one after the other.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, oneshot};
use vestibule_core::Response;

/// What was laid down.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    list: Mutex<Vec<(oneshot::Sender<Response>, Response)>>,
    /// The server sleeps, or is about to. Every change is a swap, so that they come one after the other
    /// for everyone; an ordered store costs the same.
    sleeps: AtomicBool,
    bell: Notify,
}

impl Outbox {
    /// Lays a response down; false when nobody waits for it. `can_wait`: another will follow, and the
    /// server is awake from time to time anyway.
    pub(crate) fn send(
        &self,
        to: oneshot::Sender<Response>,
        response: Response,
        can_wait: bool,
    ) -> bool {
        if to.is_closed() {
            return false;
        }
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.push((to, response));
        let is_much = list.len() == MUCH;
        drop(list);
        if is_much || (!can_wait && self.sleeps.swap(false, SeqCst)) {
            self.bell.notify_one();
        }
        true
    }

    /// Gives out what there is; has to be called on the server's thread. False when there was nothing.
    #[cfg(feature = "wheel")]
    pub(crate) fn collect(&self) -> bool {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if list.is_empty() {
            return false;
        }
        let all = std::mem::take(&mut *list);
        drop(list);
        for (to, response) in all {
            // A client that went away meanwhile wants nothing.
            let _ = to.send(response);
        }
        true
    }

    /// Before the server sleeps: it does not when there is something to do.
    #[cfg(feature = "wheel")]
    pub(crate) fn before_sleep(&self) {
        if self.collect() {
            return;
        }
        self.sleeps.swap(true, SeqCst);
        // What was laid down before that would not have rung.
        if self.collect() {
            self.sleeps.swap(false, SeqCst);
        }
    }

    #[cfg(feature = "wheel")]
    pub(crate) fn after_sleep(&self) {
        self.sleeps.swap(false, SeqCst);
    }

    /// Collects whenever the bell rings, for ever.
    #[cfg(feature = "wheel")]
    pub(crate) async fn serve(&self) {
        loop {
            self.bell.notified().await;
            self.collect();
        }
    }
}

/// How many responses are too many to wait for the server's leisure.
const MUCH: usize = 16;
