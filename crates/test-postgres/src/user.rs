//! Whom a server runs as: PostgreSQL refuses to run as root.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// A user of the system, by numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    /// The user of this process.
    pub(crate) fn me() -> User {
        let process = std::fs::metadata("/proc/self").expect("Linux shows each process in /proc");
        User { uid: process.uid(), gid: process.gid() }
    }

    /// The user of this process, and in root's place `postgres` or `nobody`.
    pub(crate) fn of_servers() -> User {
        let me = User::me();
        if me.uid != 0 {
            return me;
        }
        let users = std::fs::read_to_string("/etc/passwd").expect("Linux lists its users in /etc/passwd");
        let named = |wanted: &str| {
            users.lines().find_map(|line| {
                let fields: Vec<&str> = line.split(':').collect();
                let [name, _, uid, gid, ..] = fields.as_slice() else { return None };
                (*name == wanted).then_some(User { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
            })
        };
        let found = ["postgres", "nobody"].into_iter().find_map(named);
        found.expect("for root there is a user `postgres` or `nobody` to run the server as")
    }

    /// Lets a command run as this user, with nothing in its environment that would change what it does.
    pub(crate) fn run(self, command: &mut Command) {
        command.env_clear().env("LC_ALL", "C").env("PATH", std::env::var_os("PATH").unwrap_or_default());
        if self != User::me() {
            command.uid(self.uid).gid(self.gid);
        }
    }
}
