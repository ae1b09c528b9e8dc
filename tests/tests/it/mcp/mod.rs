//! Access rules of MCP endpoints, over real HTTP.
//!
//! - `messages`: how bodies and headers are read, what the server behind gets, and what is refused
//! - `origins`: pages that may send requests
//! - `rules`: which rules apply to a request, and how a token without a permission is rejected
//! - `sessions`: session ids that only their caller can use
//! - `streams`: streams of events that end with their token
//! - which message names what is tested in `mcp/operation.rs`, and attacks are in `attacks/mcp.rs`

mod messages;
mod origins;
mod rules;
mod sessions;
mod streams;
