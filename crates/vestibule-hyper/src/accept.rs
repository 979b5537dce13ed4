//! Connections taken from listeners, in the runtime that is there or on threads of their own.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use vestibule_core::App;
use vestibule_socket::Backoff;

use crate::connection::Service;
use crate::counts::{EarlyEnd, OpenConnection};
use crate::drain::{DrainGuard, First, Watch, race};
use crate::listen::{Accepted, Detached, Listener};
use crate::per_address::{Counted, PerAddress};

/// What it takes to serve the connections of a listener.
pub(crate) struct Accept<A> {
    pub(crate) service: Arc<Service<A>>,
    pub(crate) places: Option<Arc<Semaphore>>,
    pub(crate) per_address: Option<PerAddress>,
    pub(crate) watch: Watch,
    pub(crate) guard: DrainGuard,
}

impl<A> Clone for Accept<A> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            places: self.places.clone(),
            per_address: self.per_address.clone(),
            watch: self.watch.clone(),
            guard: self.guard.clone(),
        }
    }
}

/// The permits of a connection, held until its socket is closed: one of the server's connections, one
/// of those of its address, and the drain guard. It is boxed, since the future of a connection would
/// have room for it three times.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    _place: Option<OwnedSemaphorePermit>,
    _counted: Option<Counted>,
    _open: OpenConnection,
    _guard: DrainGuard,
}

impl ConnectionPermit {
    pub(crate) fn new(
        place: Option<OwnedSemaphorePermit>,
        counted: Option<Counted>,
        open: OpenConnection,
        guard: DrainGuard,
    ) -> Box<Self> {
        Box::new(Self {
            _place: place,
            _counted: counted,
            _open: open,
            _guard: guard,
        })
    }
}

/// Those that accept.
pub(crate) struct Workers<A> {
    /// Nothing is sent; it is closed when all have stopped accepting.
    accepting: mpsc::Receiver<()>,
    /// Keeps the threads of workers: they end when these are dropped.
    threads: Vec<oneshot::Sender<()>>,
    /// The sockets that the workers have copies of, with their files. The last connections are taken from these.
    listeners: Vec<Listener>,
    accept: Option<Accept<A>>,
}

impl<A: App> Workers<A> {
    /// Accepts in this runtime.
    pub(crate) fn here(listeners: Vec<Listener>, accept: Accept<A>) -> Self {
        let (busy, accepting) = mpsc::channel(1);
        for listener in listeners {
            let (busy, accept) = (busy.clone(), accept.clone());
            tokio::spawn(async move {
                accept_all(&listener, &accept).await;
                listener
                    .close(|accepted| accept.start(accepted, None))
                    .await;
                drop(busy);
            });
        }
        Self {
            accepting,
            threads: Vec::new(),
            listeners: Vec::new(),
            accept: None,
        }
    }

    /// Starts `count` threads, each with a runtime of its own. All accept from the same sockets,
    /// so that whoever is free takes the next connection, and none waits at one that is not.
    pub(crate) fn start(count: usize, listeners: Vec<Listener>, accept: Accept<A>) -> Self {
        let (busy, accepting) = mpsc::channel(1);
        let mut threads = Vec::new();
        for number in 0..count {
            let detached: io::Result<Vec<_>> = listeners.iter().map(Listener::detach).collect();
            let started = detached.and_then(|listeners| {
                start_worker(number, listeners, accept.clone(), busy.clone())
            });
            match started {
                Ok(thread) => threads.push(thread),
                Err(error) => tracing::error!(target: "vestibule", number, "no worker: {error}"),
            }
        }
        // One is better than none.
        if threads.is_empty() {
            return Self::here(listeners, accept);
        }
        Self {
            accepting,
            threads,
            listeners,
            accept: Some(accept),
        }
    }

    /// Waits until all have stopped, and takes the connections that were made until then. The value that it returns keeps
    /// the threads.
    pub(crate) async fn accepted(mut self) -> Vec<oneshot::Sender<()>> {
        // The workers' copies of the sockets are closed after this.
        self.accepting.recv().await;
        if let Some(accept) = self.accept {
            for listener in self.listeners {
                listener
                    .close(|accepted| accept.start(accepted, None))
                    .await;
            }
        }
        self.threads
    }
}

fn start_worker<A: App>(
    number: usize,
    listeners: Vec<Detached>,
    accept: Accept<A>,
    busy: mpsc::Sender<()>,
) -> io::Result<oneshot::Sender<()>> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (keep, end) = oneshot::channel::<()>();
    let work = async move {
        for listener in listeners {
            let (busy, accept) = (busy.clone(), accept.clone());
            match listener.attach() {
                Ok(listener) => drop(tokio::spawn(async move {
                    accept_all(&listener, &accept).await;
                    drop((listener, busy));
                })),
                Err(error) => tracing::error!(target: "vestibule", number, "no listener: {error}"),
            }
        }
        drop((busy, accept));
        // Nothing is ever sent: it ends when the other end is dropped.
        let _ = end.await;
    };
    let thread = thread::Builder::new().name(format!("vestibule-{number}"));
    thread.spawn(move || runtime.block_on(work))?;
    Ok(keep)
}

impl<A: App> Accept<A> {
    /// Serves a connection in a task of its own, unless its address has too many.
    fn start(&self, accepted: Accepted, place: Option<OwnedSemaphorePermit>) {
        let peer = accepted.peer.address();
        let is_proxy = self.service.limits().is_proxy(peer);
        let per_address = self.per_address.as_ref().filter(|_| !is_proxy);
        let counts = self.service.counts();
        let open = counts.accept();
        let Some(counted) = per_address.map_or(Some(None), |it| it.count(peer)) else {
            counts.add(EarlyEnd::Limit);
            return;
        };
        let permit = ConnectionPermit::new(place, counted, open, self.guard.clone());
        let connection = self
            .service
            .clone()
            .serve(accepted, permit, self.watch.clone());
        tokio::spawn(connection);
    }
}

/// Takes connections until the server drains.
async fn accept_all<A: App>(listener: &Listener, accept: &Accept<A>) {
    let mut backoff = Backoff::default();
    let mut watch = accept.watch.clone();
    loop {
        let accepted = async {
            // Without a free place the connection waits in the kernel's queue.
            let place = take_place(accept.places.as_ref()).await;
            (poll_fn(|cx| listener.poll_accept(cx)).await, place)
        };
        let wait = match race(accepted, watch.draining()).await {
            First::Left((Ok(accepted), place)) => {
                backoff.reset();
                accept.start(accepted, place);
                continue;
            }
            First::Left((Err(error), _)) => backoff.after(&error),
            First::Right(()) => break,
        };
        if let First::Right(()) = race(tokio::time::sleep(wait), watch.draining()).await {
            break;
        }
    }
}

async fn take_place(places: Option<&Arc<Semaphore>>) -> Option<OwnedSemaphorePermit> {
    // It is never closed.
    places?.clone().acquire_owned().await.ok()
}
