//! What the parts of a connection share: its socket, its requests and its bodies.

use std::fmt;
use std::sync::Arc;

use vestibule_core::{HasExtensions, Peer};

use crate::drain::Watch;
use crate::vitals::Vitals;

/// One allocation for all that a connection is asked for.
pub(crate) struct Link {
    pub(crate) vitals: Vitals,
    pub(crate) peer: Peer,
    pub(crate) watch: Watch,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::TlsInfo>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("peer", &self.peer).finish()
    }
}

/// The extension that leads from a request to its connection. It is one for all that the connection
/// knows, since each extension costs an allocation and more.
#[derive(Clone, Debug)]
pub(crate) struct Linked(pub(crate) Arc<Link>);

impl Linked {
    pub(crate) fn of(source: &impl HasExtensions) -> Option<&Link> {
        source.extensions().get().map(|Self(link)| &**link)
    }
}
