//! The token in a request.

mod authorization_header;
mod http2;
mod token_locations;
