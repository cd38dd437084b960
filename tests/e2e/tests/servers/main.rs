//! API servers as they are out there: without streaming lists, upgraded under a running operator, with yesterday's CRDs.
//! A control plane of their own, because what is done to it would disturb others; one after the other.

mod old_crds;
mod streaming_lists;

use tokio::sync::Mutex;

/// Who holds it has the control plane for itself.
static ALONE: Mutex<()> = Mutex::const_new(());
