//! The further examples that the quickstart serves, and the code that the programs share.

pub mod chat;
pub mod pages;
pub mod program;
pub mod single_page;
