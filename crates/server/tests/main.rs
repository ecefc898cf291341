//! The receiver of hooks over real sockets.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed helper fails its test")]

mod bodies;
mod crowd;
mod gate;
mod house;
mod inbox;
mod load;
mod proofs;
mod stop;
mod tokens;
mod wire;
