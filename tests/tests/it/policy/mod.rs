//! Options of the decision on one token.

mod provider_selection;
mod sender_constrained;
mod spiffe;
mod token_type_and_age;
