//! What the quickstart serves besides its own page. Each is an example of its own.

pub mod chat;
pub mod pages;
pub mod single_page;
