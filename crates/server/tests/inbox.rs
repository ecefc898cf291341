//! The inbox that deliveries go to: the real one, in a file.

use std::path::Path;
use std::sync::Arc;

use engine::inbox::Inbox;
use store::inbox::SqliteInbox;

/// More than any test sends.
pub(crate) const PLENTY: u64 = 1024 * 1024 * 1024;

pub(crate) async fn open(dir: &Path, max_bytes: u64) -> Arc<dyn Inbox> {
    Arc::new(SqliteInbox::open(dir, max_bytes).await.unwrap())
}
