//! Compares `docs/operations.md` and the files in `deploy` with the code.

use std::{fs, path::Path};

const PAGE: &str = include_str!("../../../docs/operations.md");
const TELEMETRY: &str = include_str!("../../../oauth2-actix/src/util/telemetry.rs");
const RULES: &str = include_str!("../../../deploy/prometheus-rules.yaml");
const DASHBOARD: &str = include_str!("../../../deploy/grafana-dashboard.json");

/// The length of the beginning of a message that must be on the page, in characters.
const SHOWN: usize = 24;

fn sources(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(fs::read_to_string(&path).expect("text"));
        }
    }
}

/// Returns the last string literal among the arguments of a macro. `code` begins after the opening
/// parenthesis.
fn last_text(code: &str) -> Option<String> {
    let (mut depth, mut last) = (1, None);
    let mut characters = code.chars();
    while let Some(character) = characters.next() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '"' => {
                let mut text = String::new();
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => match characters.next()? {
                            // The literal continues with the first word of the next line.
                            '\n' => text.push('\u{0}'),
                            escaped => text.push(escaped),
                        },
                        other => text.push(other),
                    }
                }
                let lines: Vec<&str> = text.split('\u{0}').collect();
                let mut joined = lines[0].to_owned();
                lines[1..].iter().for_each(|line| joined.push_str(line.trim_start()));
                last = Some(joined);
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    last
}

#[test]
fn every_log_message_is_on_the_operations_page() {
    let mut files = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../oauth2-actix/src");
    sources(&root, &mut files);
    let mut checked = 0;
    for file in &files {
        for level in ["error", "warn", "info", "debug", "trace"] {
            for (_, code) in file.split(&format!("tracing::{level}!(")).enumerate().skip(1) {
                let message = last_text(code).expect("a message");
                // The message is another value, such as an error.
                if message.starts_with('{') {
                    continue;
                }
                let shown: String = message.chars().take(SHOWN).collect();
                assert!(
                    PAGE.contains(&shown),
                    "missing in docs/operations.md: {level} {message:?}"
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 10, "{checked}");
}

#[test]
fn every_metric_of_rules_and_dashboard_exists() {
    for text in [RULES, DASHBOARD] {
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let names: Vec<&str> = words.filter(|word| word.starts_with("oauth2_")).collect();
        assert!(names.len() > 5);
        for name in names {
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(TELEMETRY.contains(&format!("\"{name}\"")), "{name}");
        }
    }
}
