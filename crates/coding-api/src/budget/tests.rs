//! The budget under paused time.
