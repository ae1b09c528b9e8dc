//! Getting and keeping keys.

pub(crate) mod cooldown;
pub(crate) mod discovery;
mod document_readers;
pub(crate) mod error;
pub(crate) mod fetcher;
pub(crate) mod http;
pub(crate) mod remote;
pub(crate) mod snapshot;
pub(crate) mod source;
