//! The support for tests of an application.

mod claims;
