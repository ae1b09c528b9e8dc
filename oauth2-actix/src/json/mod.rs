//! JSON as it is read from tokens and documents: strict, bounded, and without duplicate names.

pub(crate) mod object;
mod strict;

pub(crate) use self::strict::*;
