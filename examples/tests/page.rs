//! The programs of the pages are the ones that compile.

#[test]
fn programs_of_the_pages_are_the_examples() {
    for (page, program) in [
        (include_str!("../../docs/dpop.md"), include_str!("../examples/dpop.rs")),
        (include_str!("../../docs/introspection.md"), include_str!("../examples/introspection.rs")),
        (
            include_str!("../../docs/token-exchange.md"),
            include_str!("../examples/token_exchange.rs"),
        ),
        (include_str!("../../docs/revocation.md"), include_str!("../examples/revocation.rs")),
    ] {
        let (_, program) = program.split_once("\n\n").expect("a header comment");
        assert!(page.contains(&format!("```rust,ignore\n{program}```")), "{program}");
    }
}
