//! The support for tests of an application.
//!
//! - `claims`: claims without a token
//! - `login`: a user signs in at the identity provider
//! - the other endpoints of the identity provider are tested by its doc examples and in `e2e/browser.test.mjs`,
//!   and the assertions on access rules in `tests/tests/access`

mod claims;
mod login;
