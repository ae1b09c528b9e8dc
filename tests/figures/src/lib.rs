//! What programs that measure share.

pub mod report;
