//! Strict JSON for tokens and documents.
//!
//! An object that is read whole has no duplicate member names and at most 32 levels of nesting, whichever features
//! of `serde_json` are enabled. Where only some members are read, this holds for those members.
//!
//! It imports no other folder.
//!
//! - `object.rs`: [`Object`](object::Object), the parsed header or claims of a token; rejects duplicate names
//! - `strict.rs`: the rules for nested members, and the parser for key and metadata documents

pub(crate) mod object;
mod strict;

pub(crate) use self::strict::*;
