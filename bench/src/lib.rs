//! What is measured: tokens of a given length and number of claims, and apps that are asked in process.

// A tool for tests says so when its own assumptions fail.
#![allow(clippy::unwrap_used)]

mod in_process;
pub mod report;
pub mod statistics;
mod tokens;

pub use crate::{
    in_process::{InProcess, authorized, bare},
    tokens::{AUDIENCE, ISSUER, in_parallel, numbered, padded, provider, request, token, token_of},
};
