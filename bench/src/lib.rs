//! Shared code of the measuring programs: tokens of a given length and number of claims, apps that are called
//! in process, statistics and reports.

// A measuring program panics where its own assumptions fail.
#![allow(clippy::unwrap_used)]

mod in_process;
pub mod report;
pub mod statistics;
mod tokens;

pub use crate::{
    in_process::{InProcess, authorized, bare},
    tokens::{AUDIENCE, ISSUER, in_parallel, numbered, padded, provider, request, token, token_of},
};
