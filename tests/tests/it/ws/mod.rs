//! WebSocket handshakes and sessions.
//!
//! - `handshakes`: which handshakes reach the handler, and how others are closed
//! - `misbehaving_clients`: slow clients, invalid frames and floods
//! - `sessions`: the end of a session with its token, and renewal

mod handshakes;
mod misbehaving_clients;
pub(crate) mod sessions;
