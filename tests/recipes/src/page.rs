//! Compares the code on the page with the code of this crate.

const PAGE: &str = include_str!("../../../docs/recipes.md");

const SOURCES: [&str; 11] = [
    include_str!("development.rs"),
    include_str!("downstream.rs"),
    include_str!("errors.rs"),
    include_str!("extractor.rs"),
    include_str!("handlers.rs"),
    include_str!("limits.rs"),
    include_str!("metrics.rs"),
    include_str!("sessions.rs"),
    include_str!("spans.rs"),
    include_str!("text_claims.rs"),
    include_str!("users.rs"),
];

/// Returns the code without its layout.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_rust_block_of_the_page_is_tested_code() {
    let sources: Vec<String> = SOURCES.into_iter().map(words).collect();
    let blocks: Vec<&str> = PAGE
        .split("```rust")
        .skip(1)
        .map(|rest| {
            let block = rest.split_once("```").expect("a closed block").0;
            block.split_once('\n').expect("a block of several lines").1
        })
        .collect();
    assert!(blocks.len() >= SOURCES.len());
    for block in blocks {
        let block_words = words(block);
        let is_tested = sources.iter().any(|source| source.contains(&block_words));
        assert!(is_tested, "not in tests/recipes/src:\n{block}");
    }
}
