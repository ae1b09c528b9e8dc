//! `Authorization` headers, one in each line: a token that is found is valid in form, and the only one.

use oauth2_actix::__fuzz;

pub fn run(data: &[u8]) {
    let values: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let Some(token) = __fuzz::bearer(&values) else { return };
    assert_eq!(values.len(), 1, "of several headers one was chosen");
    let value = values[0];
    assert!(value[..6].eq_ignore_ascii_case(b"bearer"));
    assert!(value[6] == b' ');
    assert!(value.ends_with(token.as_bytes()));
    assert!(value[6..value.len() - token.len()].iter().all(|byte| *byte == b' '));
    let body = token.trim_end_matches('=');
    assert!(!body.is_empty());
    assert!(body.chars().all(|c| c.is_ascii_alphanumeric() || "-._~+/".contains(c)));
}
