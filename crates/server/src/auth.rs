//! Who is calling: API keys, kept as hashes, looked up in memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use sebring_core::clock::Timestamp;
use sebring_core::id::OrganizationId;
use sebring_core::permission::Permission;
use sebring_core::secret::Secret;
use sebring_store::keys::{ApiKey, KeyHash};
use sha2::{Digest, Sha256};

use crate::random;

/// How fresh `lastUsedAt` is.
const USE_THROTTLE: Duration = Duration::from_secs(10);

/// Whoever is calling, as known from the key.
#[derive(Clone, Debug)]
pub struct Principal {
    pub organization: OrganizationId,
    pub user_id: String,
    pub(crate) key: Arc<ApiKey>,
}

impl Principal {
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.key.permissions.contains(&permission)
    }
}

/// All keys, by hash, with the uses that are not written down yet.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    by_hash: RwLock<HashMap<KeyHash, Arc<ApiKey>>>,
    uses: Mutex<HashMap<KeyHash, LastUse>>,
}

#[derive(Clone, Copy, Debug)]
struct LastUse {
    at: Timestamp,
    written: bool,
}

impl Keys {
    pub(crate) fn add(&self, key: Arc<ApiKey>) {
        self.by_hash.write().insert(key.hash, key);
    }

    pub(crate) fn remove(&self, hash: KeyHash) {
        self.by_hash.write().remove(&hash);
        self.uses.lock().remove(&hash);
    }

    /// The caller behind a bearer token; `None` for an unknown or expired one.
    pub(crate) fn authenticate(&self, bearer: &str, now: Timestamp) -> Option<Principal> {
        let hash = hash(bearer);
        let key = self.by_hash.read().get(&hash).cloned()?;
        if key.expires_at.is_some_and(|at| at <= now) {
            return None;
        }
        self.note_use(hash, now);
        Some(Principal {
            organization: key.organization,
            user_id: key.user_id.clone(),
            key,
        })
    }

    pub(crate) fn of(&self, organization: OrganizationId) -> Vec<Arc<ApiKey>> {
        let mut keys: Vec<_> = self
            .by_hash
            .read()
            .values()
            .filter(|key| key.organization == organization)
            .cloned()
            .collect();
        keys.sort_by(|a, b| (a.created_at, &a.name).cmp(&(b.created_at, &b.name)));
        keys
    }

    pub(crate) fn last_used(&self, key: &ApiKey) -> Option<Timestamp> {
        let noted = self.uses.lock().get(&key.hash).map(|used| used.at);
        noted.or(key.last_used_at)
    }

    /// Uses that the store has not heard of.
    pub(crate) fn take_uses(&self) -> Vec<(KeyHash, Timestamp)> {
        let mut uses = self.uses.lock();
        let fresh = uses.iter_mut().filter(|(_, used)| !used.written);
        fresh
            .map(|(hash, used)| {
                used.written = true;
                (*hash, used.at)
            })
            .collect()
    }

    fn note_use(&self, hash: KeyHash, now: Timestamp) {
        let mut uses = self.uses.lock();
        let stale = uses
            .get(&hash)
            .is_none_or(|used| used.at.after(USE_THROTTLE) <= now);
        if stale {
            let fresh = LastUse {
                at: now,
                written: false,
            };
            uses.insert(hash, fresh);
        }
    }
}

/// What a new key is made of.
pub(crate) struct NewKey {
    pub(crate) organization: OrganizationId,
    pub(crate) user_id: String,
    pub(crate) name: String,
    pub(crate) permissions: BTreeSet<Permission>,
    pub(crate) expires_at: Option<Timestamp>,
}

impl NewKey {
    /// The record to store, for a key of this value.
    pub(crate) fn record(self, value: &Secret<String>, now: Timestamp) -> ApiKey {
        ApiKey {
            hash: hash(value.expose()),
            organization: self.organization,
            user_id: self.user_id,
            name: self.name,
            masked: mask(value.expose()),
            permissions: self.permissions,
            created_at: now,
            expires_at: self.expires_at,
            last_used_at: None,
        }
    }
}

pub(crate) fn mint() -> Secret<String> {
    Secret::new(format!("dtn_{}", random::hex::<32>()))
}

pub(crate) fn is_well_formed(value: &str) -> bool {
    value
        .strip_prefix("dtn_")
        .is_some_and(|rest| rest.len() == 64 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

pub(crate) fn hash(value: &str) -> KeyHash {
    KeyHash(Sha256::digest(value.as_bytes()).into())
}

fn mask(value: &str) -> String {
    let end = value.len().saturating_sub(3);
    format!("{}{}{}", &value[..3], "*".repeat(20), &value[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: &Secret<String>, expires_at: Option<Timestamp>) -> Arc<ApiKey> {
        let new = NewKey {
            organization: OrganizationId::random(),
            user_id: "u".into(),
            name: "k".into(),
            permissions: BTreeSet::from([Permission::WriteSandboxes]),
            expires_at,
        };
        Arc::new(new.record(value, Timestamp::from_unix_ms(0)))
    }

    #[test]
    fn a_minted_key_has_the_published_form_and_its_mask_hides_it() {
        let value = mint();
        assert!(is_well_formed(value.expose()));
        let masked = mask(value.expose());
        assert!(masked.starts_with("dtn") && masked.len() == 26);
        assert_ne!(mint(), mint());
    }

    #[test]
    fn unknown_expired_and_removed_keys_are_nobody() {
        let keys = Keys::default();
        let (lasting, expiring) = (mint(), mint());
        let at = Timestamp::from_unix_ms;
        keys.add(key(&lasting, None));
        keys.add(key(&expiring, Some(at(100))));
        assert!(keys.authenticate(lasting.expose(), at(1)).is_some());
        assert!(keys.authenticate(expiring.expose(), at(99)).is_some());
        assert!(keys.authenticate(expiring.expose(), at(100)).is_none());
        assert!(keys.authenticate("dtn_x", at(1)).is_none());
        keys.remove(hash(lasting.expose()));
        assert!(keys.authenticate(lasting.expose(), at(1)).is_none());
    }

    #[test]
    fn uses_are_written_down_at_most_every_ten_seconds() {
        let keys = Keys::default();
        let value = mint();
        let at = Timestamp::from_unix_ms;
        keys.add(key(&value, None));
        keys.authenticate(value.expose(), at(0));
        keys.authenticate(value.expose(), at(9_999));
        assert_eq!(keys.take_uses().len(), 1);
        assert_eq!(keys.take_uses().len(), 0);
        keys.authenticate(value.expose(), at(10_000));
        assert_eq!(keys.take_uses(), vec![(hash(value.expose()), at(10_000))]);
    }
}
