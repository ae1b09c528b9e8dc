//! Responses to rejected requests.
//!
//! - `cors`: preflights, and rejections that scripts can read
//! - `rejection_log`: the log line of a rejected request
//! - `responses`: status, challenge and body of each rejection

mod cors;
mod rejection_log;
pub(crate) mod responses;
