//! Key sources: fetching, refresh, discovery, files, snapshots.
//!
//! - `bearer_token_file`: a key set behind a bearer token that is read from a file
//! - `content_coding`: compressed documents
//! - `custom_sources`: sources that the developer implements
//! - `discovery`: the metadata document: its address, what it may contain, when it is fetched again
//! - `etag`: conditional fetches
//! - `fetching`: one fetch for many requests, on a thread of its own, and the end of that thread
//! - `http_client`: what the developer can change of the client, and redirects
//! - `key_files`: keys in files
//! - `key_server_faults`: key servers with invalid or too long responses
//! - `refresh`: when keys are fetched again: intervals, backoff, cooldown, rotation
//! - `settings`: ranges and effect of the settings
//! - `several_sources`: one provider with several sources
//! - `shutdown`: what a dropped policy leaves behind
//! - `snapshots`: keys on disk, restarts, initial keys
//! - `waiters`: how many requests may wait for keys

mod bearer_token_file;
mod content_coding;
mod custom_sources;
mod discovery;
mod etag;
mod fetching;
mod http_client;
mod key_files;
mod key_server_faults;
mod refresh;
mod settings;
mod several_sources;
mod shared;
mod shutdown;
mod snapshots;
mod waiters;
