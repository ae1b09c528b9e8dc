//! The token in a request.
//!
//! - `authorization_header`: the syntax of the header
//! - `http2`: the same responses over HTTP/2
//! - `token_locations`: tokens in subprotocols, the query, cookies and other headers

mod authorization_header;
mod http2;
mod token_locations;
