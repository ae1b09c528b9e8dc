//! Why an attempt to fetch keys failed.

use std::time::Duration;

use super::{discovery::DiscoveryError, document_readers::ReaderLost};
use crate::http::fetch::GetError;
use crate::{jose::key_document::DocumentError, util::units::Unit};

#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("{0}")]
    Get(#[from] GetError),
    #[error("no complete answer within {}", Unit(*.0))]
    Timeout(Duration),
    #[error("{0}")]
    Document(#[from] DocumentError),
    #[error("{0}")]
    Discovery(#[from] DiscoveryError),
    #[error("{keys}; and discovery fails too: {discovery}")]
    Rediscovery { keys: Box<FetchError>, discovery: Box<FetchError> },
    #[error("the source of keys says: {0}")]
    Source(String),
    #[error("{0}")]
    TokenFile(String),
    #[error("the fetch panicked")]
    Panicked,
}

impl From<ReaderLost> for FetchError {
    fn from(_: ReaderLost) -> Self {
        Self::Panicked
    }
}
