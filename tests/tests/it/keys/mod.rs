//! Key sources: fetching, refresh, discovery, files, snapshots.

mod bearer_token_file;
mod discovery;
mod etag;
mod fetching;
mod http_client;
mod key_files_and_sources;
mod key_server_faults;
mod refresh;
mod several_sources;
mod snapshots;
