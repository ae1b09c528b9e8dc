//! The program of the page is the one that compiles.

const PAGE: &str = include_str!("../../docs/dpop.md");
const PROGRAM: &str = include_str!("../examples/dpop.rs");

#[test]
fn program_of_the_page_is_the_example() {
    let (_, program) = PROGRAM.split_once("\n\n").expect("a header comment");
    assert!(PAGE.contains(&format!("```rust,ignore\n{program}```")), "{program}");
}
