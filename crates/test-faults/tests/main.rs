//! Disks and networks do to others what they are told to, and nothing else.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod disk;
mod proxy;
