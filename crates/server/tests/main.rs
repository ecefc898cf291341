//! The receiver of hooks over real sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed helper fails its test")]

mod bodies;
mod gate;
mod house;
mod inbox;
mod load;
mod proofs;
mod stop;
mod tokens;
mod wire;
