//! Tenants: providers that the application looks up by the issuer of a token.
//!
//! Requests read the table and never wait for it; they send a request to the lookups, which run on the thread
//! that fetches keys, and wait for the reply. It imports the same folders as `provider`.
//!
//! - `directory`: the policy's side: finds a tenant, requests a lookup and waits for its result.
//! - `lookups`: the actor that runs lookups, at most one for each issuer at a time, and keeps the queues.
//! - `table`: the results of lookups, and how long each is valid.

mod directory;
mod lookups;
mod table;

pub(crate) use self::{directory::Directory, table::IssuerLookup};
