//! HTTP for key documents: clients, URLs, content codings and the bounded GET.

pub(crate) mod client;
mod content_coding;
pub(crate) mod fetch;
pub(crate) mod url;
