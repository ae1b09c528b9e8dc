//! Tenants at run time.

mod directory;
mod lookups;
mod table;

pub(crate) use self::{directory::Directory, table::IssuerLookup};
