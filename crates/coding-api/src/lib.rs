//! coding-api
