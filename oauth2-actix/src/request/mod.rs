//! The token in a request, and the WebSocket handshake that carries one.
//!
//! Owns the syntax of bearer tokens and every location that a client may send one in. Verifies nothing: its
//! result is the bytes of a token for `policy`. It imports `config` and `error`.
//!
//! - `bearer`: parses the `Authorization` header (RFC 6750 §2.1), and rejects a second one.
//! - `token_source`: reads tokens from the optional locations: a header of another name, a WebSocket's
//!   subprotocols, the query, a cookie. Rejects a second token.
//! - `upgrade`: recognizes WebSocket handshakes, and completes a rejected one with a close frame.

pub(crate) mod bearer;
pub(crate) mod token_source;
#[cfg(feature = "websocket")]
pub(crate) mod upgrade;
