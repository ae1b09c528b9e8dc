//! Finds the known name that an unknown one was probably meant to be.

/// Returns the nearest of `known`, if one is near enough: a typing error, another spelling of the words
/// (`keyRefreshMinutes`, `key-refresh-minutes`), or a part of the name (`leeway`).
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = letters(name);
    // Long names are skipped, since the comparison takes time.
    if name.is_empty() || name.len() > MAX_LENGTH {
        return None;
    }
    known
        .into_iter()
        .filter_map(|candidate| {
            let letters = letters(candidate);
            let distance = distance(&name, &letters);
            let is_slip = distance <= 1.max(name.len() / 4);
            let is_part = name.len() >= MIN_PART && letters.starts_with(&name);
            (is_slip || is_part).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the letters and digits in lower case, which are the same in every spelling.
fn letters(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Returns the Levenshtein distance.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

const MAX_LENGTH: usize = 100;
const MIN_PART: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_name_is_found() {
        let known = ["issuer", "audience", "keys", "key_refresh_minutes", "leeway_seconds"];
        for (name, found) in [
            ("isuer", Some("issuer")),
            ("Issuer", Some("issuer")),
            ("issuers", Some("issuer")),
            ("audiance", Some("audience")),
            ("key", Some("keys")),
            ("keyRefreshMinutes", Some("key_refresh_minutes")),
            ("key-refresh", Some("key_refresh_minutes")),
            ("leeway", Some("leeway_seconds")),
            ("uri", None),
            ("x", None),
            ("", None),
            ("___", None),
        ] {
            assert_eq!(nearest(name, known), found, "{name}");
        }
        assert_eq!(nearest(&"issuer".repeat(100_000), known), None);
    }

    #[test]
    fn distance_counts_edits() {
        for (one, other, edits) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(one, other), edits, "{one} {other}");
        }
    }
}
