//! Requirements on claims.
//!
//! - `attribute_order`: the attributes beside those of other crates
//! - `requirements`: which tokens meet a requirement; attributes, values and middleware

mod attribute_order;
mod requirements;
