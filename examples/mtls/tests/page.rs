//! The programs and files of the page are those that compile and that the tests use.

const PAGE: &str = include_str!("../../../docs/mtls.md");
const WITH_RUSTLS: &str = include_str!("../src/with_rustls.rs");
const WITH_OPENSSL: &str = include_str!("../src/with_openssl.rs");
const BEHIND_A_PROXY: &str = include_str!("../src/behind_a_proxy.rs");

#[test]
fn program_of_the_page_is_the_one_with_rustls() {
    let (_, program) = WITH_RUSTLS.split_once("\n\n").expect("a header comment");
    assert!(PAGE.contains(&format!("```rust,ignore\n{program}```")), "{program}");
}

#[test]
fn changes_of_the_page_are_those_of_the_other_programs() {
    for (program, section) in
        [(WITH_OPENSSL, "## With OpenSSL"), (BEHIND_A_PROXY, "## Behind a proxy")]
    {
        let (_, section) = PAGE.split_once(&format!("\n{section}\n")).expect(section);
        let section = section.split("\n## ").next().expect("text");
        let mut blocks = section.split("```rust,ignore\n").skip(1).peekable();
        assert!(blocks.peek().is_some(), "{section}");
        for block in blocks {
            let code = block.split("```").next().expect("code");
            assert!(program.contains(code), "{code}");
        }
    }
}

#[test]
fn files_of_the_page_are_those_of_the_tests() {
    for (language, file) in [
        ("sh", include_str!("../certificates.sh")),
        ("nginx", include_str!("../nginx.conf")),
        ("haproxy", include_str!("../haproxy.cfg")),
    ] {
        assert!(PAGE.contains(&format!("```{language}\n{file}```")), "{file}");
    }
}
