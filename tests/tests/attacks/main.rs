//! Attacks on software of this kind, each with a test over real HTTP and real WebSocket. `README.md` is their
//! index, and says what cannot apply.
//!
//! The response to each attack must be exact (status, every header, body; close code and reason) and hold
//! nothing of what was sent, no handler may run, and the same server must accept a valid token afterwards.

#![allow(missing_docs, clippy::unwrap_used)]

mod api_keys;
mod authorization;
mod bounded;
mod claims;
mod dpop;
mod exhaustion;
mod hmac;
mod introspection;
mod key_thread;
mod keys;
mod leaks;
mod mcp;
mod ml_dsa;
mod own_stack;
mod paths;
mod peers;
mod properties;
mod revocation;
mod signatures;
mod spiffe;
mod target;
mod truth_tables;
mod websocket;
mod wycheproof;
