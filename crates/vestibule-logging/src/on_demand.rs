//! Values that are made when they are first asked for.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Values by key. One that is there stays, and is changed by whoever shares it: so it counts in atomics.
pub(crate) struct OnDemand<K, V>(RwLock<BTreeMap<K, V>>);

impl<K, V> Default for OnDemand<K, V> {
    fn default() -> Self {
        Self(RwLock::new(BTreeMap::new()))
    }
}

impl<K: Ord, V: Default> OnDemand<K, V> {
    pub(crate) fn with(&self, key: K, f: impl FnOnce(&V)) {
        if let Some(value) = self.read().get(&key) {
            return f(value);
        }
        // Another may have made it meanwhile.
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        f(all.entry(key).or_default());
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, BTreeMap<K, V>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
