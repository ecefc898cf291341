//! The inbox that deliveries go to: the real one, in a file.

use std::path::Path;
use std::sync::Arc;

use engine::inbox::Inbox;
use store::inbox::SqliteInbox;

const MAX_BYTES: u64 = 1024 * 1024 * 1024;

pub(crate) async fn open(dir: &Path) -> Arc<dyn Inbox> {
    Arc::new(SqliteInbox::open(dir, MAX_BYTES).await.unwrap())
}
