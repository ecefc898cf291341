//! What tributary serves over HTTP: for now, the endpoint of hooks ([`receiver`]).

pub mod receiver;
