//! The keys of a source: where they come from, how they are fetched, and the set that is used now.
//!
//! Owns key sources, discovery, the fetchers and snapshots on disk. It imports `error`, `http`, `jose`,
//! `json` and `util`.
//!
//! - `remote.rs`: the snapshot of a fetched source and the state of its fetches, as requests read them
//! - `fetcher/`: one task for each source, which fetches, schedules and answers waiters
//! - `source.rs`: key sources of the developer, files, and bearer tokens in files
//! - `discovery.rs`: the metadata document of an issuer
//! - `snapshot.rs`: keys on disk, for a start while the provider is unavailable
//! - `cooldown.rs`: the rate of fetches that unknown keys cause
//! - `document_readers.rs`: threads that parse documents
//! - `error.rs`: why a fetch failed

pub(crate) mod cooldown;
pub(crate) mod discovery;
mod document_readers;
pub(crate) mod error;
pub(crate) mod fetcher;
pub(crate) mod remote;
pub(crate) mod snapshot;
pub(crate) mod source;
