//! Challenges from any text: one header value that, parsed by RFC 9110, has the original parameters.

use arbitrary::{Arbitrary, Unstructured};
use oauth2_actix::__fuzz;

#[derive(Arbitrary, Debug)]
struct Input {
    realm: String,
    error: String,
    description: String,
    scope: String,
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary(&mut Unstructured::new(data)) else { return };
    let value = __fuzz::challenge(&input.realm, &input.error, &input.description, &input.scope);
    let text = value.to_str().expect("visible ASCII");
    let parameters = read(text).unwrap_or_else(|| panic!("unreadable: {text}"));
    let expected = [
        ("scope", input.scope),
        ("realm", input.realm),
        ("error", input.error),
        ("error_description", input.description),
    ];
    assert_eq!(parameters.len(), expected.len(), "{text}");
    for ((name, value), (expected_name, expected)) in parameters.iter().zip(expected) {
        assert_eq!(name, expected_name);
        let kept = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
        assert_eq!(*value, expected.chars().map(kept).collect::<String>());
    }
}

/// Parses a challenge by RFC 9110 §11.3: a scheme and parameters, separated by commas, of tokens and quoted
/// strings.
fn read(text: &str) -> Option<Vec<(String, String)>> {
    let mut rest = text.strip_prefix("Bearer ")?;
    let mut parameters = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"")?;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return None;
        }
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(characters.next()?.1),
                (_, other) => value.push(other),
            }
        };
        parameters.push((name.to_owned(), value));
        rest = &after[end + 1..];
        if rest.is_empty() {
            return Some(parameters);
        }
        rest = rest.strip_prefix(", ")?;
    }
}
