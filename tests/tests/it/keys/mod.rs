//! Key sources: fetching, refresh, discovery, files, snapshots.

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
