//! The token in a request.

mod http2;
mod token_locations;
