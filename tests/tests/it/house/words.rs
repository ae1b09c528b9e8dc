//! The words that `CONTRIBUTING.md` does not use stand in no comment, document, message or name.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders that hold no text of this project.
const SKIPPED: [&str; 7] =
    [".git", "target", "node_modules", "corpus", "artifacts", "wycheproof", "words.rs"];

const READ: [&str; 9] = ["rs", "md", "mjs", "js", "html", "toml", "yml", "yaml", "stderr"];

#[test]
fn words_that_are_not_used_stand_nowhere() {
    let words = unused_words();
    assert!(words.len() > 30, "{words:?}");
    let mut found = Vec::new();
    for path in texts(&root()) {
        let text = fs::read_to_string(&path).unwrap();
        // The page that lists them.
        let text = if path.ends_with("CONTRIBUTING.md") {
            text.split("### Words that are not used").next().unwrap().to_owned()
        } else {
            text
        };
        for (number, line) in text.lines().enumerate() {
            let line = normalised(line);
            for word in &words {
                if line.contains(word.as_str()) {
                    let file = path.strip_prefix(root()).unwrap().display();
                    found.push(format!("{file}:{}:{word}", number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{} lines:\n{}", found.len(), found.join("\n"));
}

#[test]
fn word_inside_another_word_is_no_match() {
    let line = normalised("/// Replaces the placeholder in a_demand_of.");
    assert!(!line.contains(" place "));
    assert!(line.contains(" demand "));
}

/// The first column of the table of words that are not used, each between spaces.
fn unused_words() -> Vec<String> {
    let page = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let table = page.split("### Words that are not used").nth(1).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(2);
    rows.flat_map(|row| row.split('|').nth(1).unwrap().split(','))
        .map(|word| format!(" {} ", word.trim()))
        .collect()
}

/// The line in lower case, with one space between its words, before the first and after the last.
fn normalised(line: &str) -> String {
    let words = line.split(|character: char| !character.is_alphabetic() && character != '\'');
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    format!(" {} ", words.join(" ").to_lowercase())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn texts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_symlink() || SKIPPED.contains(&name) {
            continue;
        }
        if path.is_dir() {
            found.extend(texts(&path));
        } else if path
            .extension()
            .is_some_and(|extension| READ.iter().any(|read| extension == *read))
        {
            found.push(path);
        }
    }
    found.sort();
    found
}
