//! Responses to rejected requests, their log lines, and CORS.

mod cors;
mod rejection_log;
pub(crate) mod responses;
