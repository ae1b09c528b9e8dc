//! WebSocket handshakes and sessions.

mod handshakes;
mod misbehaving_clients;
mod sessions;
