//! Durable steps, named so that a test can have each of them fail at the worst moment.
//!
//! Nothing of it is in a build without the feature `failpoints`: a step is then nothing, its name is not kept, and both
//! of its points are always passed.

use std::io;

/// A step after which something stays: a transaction, a file. It has two points, before it and after it.
#[derive(Clone, Copy, Debug)]
pub struct Step(#[cfg(feature = "failpoints")] &'static str);

impl Step {
    /// A step with a name of its own, `room::step`. Its points are `room::step::before` and `room::step::after`.
    #[must_use]
    #[cfg_attr(not(feature = "failpoints"), expect(unused_variables, reason = "nothing is kept of it"))]
    pub const fn named(name: &'static str) -> Step {
        Step(
            #[cfg(feature = "failpoints")]
            name,
        )
    }

    /// The point at which nothing of the step has been done that stays.
    ///
    /// # Errors
    /// What a test asked for; without the feature `failpoints`, never.
    #[inline]
    pub fn before(self) -> io::Result<()> {
        #[cfg(feature = "failpoints")]
        armed::pass(&format!("{}::before", self.0))?;
        Ok(())
    }

    /// The point at which all of the step has been done and nobody has been told so. An error here is a reply that
    /// was lost.
    ///
    /// # Errors
    /// As [`Step::before`].
    #[inline]
    pub fn after(self) -> io::Result<()> {
        #[cfg(feature = "failpoints")]
        armed::pass(&format!("{}::after", self.0))?;
        Ok(())
    }
}

#[cfg(feature = "failpoints")]
pub use armed::Armed;

#[cfg(feature = "failpoints")]
mod armed {
    use std::io;

    /// Points that have been set, until this is dropped.
    #[derive(Debug)]
    pub struct Armed {
        _scenario: fail::FailScenario<'static>,
    }

    impl Armed {
        /// Sets the points as the variable `FAILPOINTS` says: `point=action;…`, for example
        /// `journal::commit::after=3*off->1*return`. To `return` is an error of the disk, `return(full)` a disk that is
        /// full, `return(busy)` something that passes.
        ///
        /// # Panics
        /// When the variable cannot be understood.
        #[must_use]
        pub fn from_environment() -> Armed {
            Armed { _scenario: fail::FailScenario::setup() }
        }
    }

    /// Does what was asked for at a point. The trace tells whoever asked that the point is reached at all.
    pub(super) fn pass(point: &str) -> io::Result<()> {
        tracing::trace!(target: "failpoint", point, "reached");
        let struck = fail::eval(point, |kind| {
            let kind = match kind.as_deref() {
                Some("full") => io::ErrorKind::StorageFull,
                Some("busy") => io::ErrorKind::ResourceBusy,
                _ => io::ErrorKind::Other,
            };
            io::Error::new(kind, format!("failpoint {point}"))
        });
        struck.map_or(Ok(()), Err)
    }
}
