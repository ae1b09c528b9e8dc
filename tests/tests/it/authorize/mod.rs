//! Requirements on claims.

mod attribute_order;
mod requirements;
