//! HTTP.

pub(crate) mod client;
mod content_coding;
pub(crate) mod fetch;
pub(crate) mod url;
