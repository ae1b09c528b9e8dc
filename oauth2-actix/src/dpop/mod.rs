//! Access tokens that are bound to a key of the client (DPoP, [RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)).

// Owns everything about the proofs of DPoP. It imports `config`, `error`, `jose`, `json`, `store` and `util`.
//
// - `client_key`: the key in a proof, its thumbprint, and the keys of recent proofs
// - `members`: reads the JSON of proofs
// - `nonce`: nonces that no store has to remember
// - `proof`: the checks of one proof
// - `replay`: remembers the proofs that were used
// - `settings`: the settings for proofs
// - `target`: compares the URI in a proof with that of the request

pub(crate) mod client_key;
mod members;
pub(crate) mod nonce;
pub(crate) mod proof;
pub(crate) mod replay;
pub(crate) mod settings;
pub(crate) mod target;

#[cfg(feature = "redis")]
pub use self::replay::redis::RedisReplayStore;
pub use self::{
    replay::{Insertion, ReplayStore, UsedProof, memory::MemoryReplayStore},
    settings::Dpop,
};

#[cfg(test)]
mod tests;
