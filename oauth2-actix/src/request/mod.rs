//! What arrives.

pub(crate) mod bearer;
pub(crate) mod token_source;
#[cfg(feature = "websocket")]
pub(crate) mod upgrade;
