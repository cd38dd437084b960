//! What needs a control plane of its own: API servers as they are out there (without streaming lists, upgraded under a running operator,
//! with yesterday's CRDs), and operators for all namespaces, one and several.
//! What is done to it would disturb other tests. One after the other.

mod all_namespaces;
mod bombs;
mod hanging;
mod old_crds;
mod shards;
mod streaming_lists;
mod versions;

use tokio::sync::Mutex;

/// Who holds it has the control plane for itself.
static ALONE: Mutex<()> = Mutex::const_new(());
