//! Claims of a verified token, and the cache of verified tokens.

mod cache;
mod claims;
mod expiring_body;
