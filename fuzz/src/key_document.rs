//! Key documents of any form: no panic, no symmetric key from a fetched document, and no key that verifies a
//! forgery.

use oauth2_actix::__fuzz;

/// Headers with and without a `kid`, and invalid signatures of many lengths.
const TOKENS: [&str; 5] = [
    // {"alg":"RS256","kid":"1"}, {"alg":"ES256"}, {"alg":"EdDSA","kid":"1"}, {"alg":"HS256"},
    // {"alg":"ES256","x5t":"1","x5t#S256":"2"}
    "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.e30.AAAA",
    "eyJhbGciOiJFUzI1NiJ9.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "eyJhbGciOiJFZERTQSIsImtpZCI6IjEifQ.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "eyJhbGciOiJIUzI1NiJ9.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "eyJhbGciOiJFUzI1NiIsIng1dCI6IjEiLCJ4NXQjUzI1NiI6IjIifQ.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
];

pub fn run(data: &[u8]) {
    // A byte order mark and white space are skipped.
    let wrapped = [b"\xef\xbb\xbf \n".as_slice(), data, b"\n"].concat();
    let has_mark = data.starts_with(b"\xef\xbb\xbf");
    for token in TOKENS {
        let fetched = __fuzz::key_document(data, false, token);
        let inline = __fuzz::key_document(data, true, token);
        assert!(has_mark || inline == __fuzz::key_document(&wrapped, true, token));
        for key in fetched.iter().flatten() {
            assert!(!key.algorithms.is_empty(), "a key without an algorithm was kept");
            assert!(key.algorithms.iter().all(|algorithm| !algorithm.starts_with("HS")));
        }
        if let Some(fetched) = fetched {
            let inline = inline.expect("what may be fetched may be given inline");
            assert!(inline.len() >= fetched.len());
        }
    }
}
