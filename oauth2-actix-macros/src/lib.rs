//! Attribute macros of `oauth2-actix`, which re-exports them: depend on that crate, not on this.
