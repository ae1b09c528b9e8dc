//! The support for tests of an application.
//!
//! - `claims`: claims without a token
//! - the identity provider is tested by its doc examples and in `e2e/browser.test.mjs`, and the assertions on
//!   access rules in `tests/tests/access`

mod claims;
