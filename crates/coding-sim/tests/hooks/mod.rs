//! Service Hooks: managing them, what is sent, and what becomes of it on the way.

mod bodies;
mod faults;
mod manage;
mod receiver;
mod sending;
