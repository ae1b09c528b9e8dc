//! Strict JSON for tokens and documents.
//!
//! It accepts no object with a duplicate member name and no nesting deeper than 32 levels, whichever
//! features of `serde_json` are enabled.
//!
//! It is on floor 1, so it imports no other folder.
//!
//! - `object.rs`: [`Object`](object::Object), the compact form in which headers and claims are kept
//! - `strict.rs`: the parser for whole objects and for selected members

pub(crate) mod object;
mod strict;

pub(crate) use self::strict::*;
