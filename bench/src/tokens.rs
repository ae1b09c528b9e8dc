//! Tokens as identity providers sign them, of a chosen length and number of claims.

use std::{ops::Range, thread};

use oauth2_actix::{
    Keys, Provider,
    testing::{SigningKey, Token},
};
use serde_json::json;

/// The issuer of the tokens.
pub const ISSUER: &str = "https://idp.test";
/// The audience of the tokens.
pub const AUDIENCE: &str = "api";

/// Returns the provider with these keys.
pub fn provider(keys: impl Into<Keys>) -> Provider {
    Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(keys)
}

/// Returns a token with 12 claims: eleven as providers set them, and `fill`.
#[must_use]
pub fn token() -> Token {
    least()
        .claim("nbf", 1_700_000_000)
        .claim("jti", "00000000")
        .claim("client_id", "web")
        .claim("scope", "orders:read email")
        .claim("role", "admin")
        .claim("realm_access", json!({"roles": ["admin"]}))
}

/// Returns a token with this number of claims, at least 6. The last one is `fill`.
#[must_use]
pub fn token_of(claims: usize) -> Token {
    match claims {
        ..12 => (6..claims).fold(least(), with_another),
        _ => (12..claims).fold(token(), with_another),
    }
}

/// Extends `fill` until the token, signed with this key, has a length in bytes, or one byte less.
#[must_use]
pub fn padded(token: Token, key: &SigningKey, length: usize) -> Token {
    let filled = |bytes: usize| token.clone().claim("fill", "x".repeat(bytes));
    let bare = filled(0).sign(key).len();
    // Base64 makes four characters of three bytes.
    (0..4)
        .map(|more| filled((length.saturating_sub(bare)) * 3 / 4 + more))
        .take_while(|token| token.sign(key).len() <= length)
        .last()
        .unwrap_or_else(|| {
            panic!("{length} bytes are too few, the token has {bare} with an empty `fill`")
        })
}

/// Returns the token with this number as `jti`.
#[must_use]
pub fn numbered(token: &Token, number: usize) -> Token {
    token.clone().claim("jti", format!("{number:08}"))
}

/// Returns the bytes of the shortest HTTP request that carries a token.
#[must_use]
pub fn request(token: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes()
}

/// Returns what `make` returns for each number, in the order of the numbers. All cores take part.
pub fn in_parallel<T: Send>(numbers: Range<usize>, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = numbers.len().div_ceil(cores);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores)
            .map(|core| {
                let (numbers, make) = (numbers.clone(), &make);
                let numbers = numbers.skip(core * share).take(share);
                scope.spawn(move || numbers.map(make).collect::<Vec<T>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Returns a token with iss, aud, sub, iat, exp, and `fill`.
fn least() -> Token {
    Token::new(ISSUER, AUDIENCE).expires_in(24 * 60 * 60).claim("fill", "")
}

fn with_another(token: Token, index: usize) -> Token {
    token.claim(&format!("c{index}"), index)
}
