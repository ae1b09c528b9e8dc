//! The decision on one token.
//!
//! - `provider_selection`: for which provider a token is verified: by issuer, by audience (in `aud` or the
//!   `audience_claim`), by key
//! - `sender_constrained`: tokens with a `cnf` claim
//! - `spiffe`: JWT-SVIDs
//! - `token_type_and_age`: restrictions by `typ` and by age

mod provider_selection;
mod sender_constrained;
mod spiffe;
mod token_type_and_age;
