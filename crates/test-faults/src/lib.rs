//! For tests: disks and networks that fail when they are told to, below a program that is as it is.
//!
//! [`Disk`] stands between a program and its files, [`SmallDisk`] is one that can be full, [`Proxy`] stands between a
//! client and its server. None of them needs more than a C compiler, which SQLite needs too.

mod disk;
mod mount;
mod proxy;

pub use disk::{Call, Disk, Errno, Strike};
pub use mount::{Inside, SmallDisk, inside, is_inside};
pub use proxy::{Cut, Pace, Passed, Proxy};
