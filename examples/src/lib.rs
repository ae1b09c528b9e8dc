//! What the quickstart serves besides its own page, each an example of its own, and what the programs share.

pub mod chat;
pub mod pages;
pub mod program;
pub mod single_page;
