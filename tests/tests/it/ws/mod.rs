//! WebSocket handshakes and sessions.

mod handshakes;
mod misbehaving_clients;
pub(crate) mod sessions;
