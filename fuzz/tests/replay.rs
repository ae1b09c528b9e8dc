//! Replays every input of the corpora, without a fuzzer.

use std::path::Path;

use oauth2_actix_fuzz as targets;

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&corpus).expect("a corpus") {
        let input = std::fs::read(entry.expect("an entry").path()).expect("an input");
        run(&input);
        count += 1;
    }
    assert!(count > 0, "{target} has no corpus");
    println!("{target}: {count} inputs");
}

macro_rules! replays {
    ($($target:ident)*) => {$(
        #[test]
        fn $target() {
            replay(stringify!($target), targets::$target::run);
        }
    )*};
}

replays! {
    authorization_header
    challenge
    claims
    compact_jws
    discovery_document
    dpop_proof
    key_document
    mcp_message
    public_paths
    public_routes
    verifiers
}

/// Without bodies that both readers accept, the target would compare nothing.
#[test]
fn most_messages_are_compared() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/mcp_message");
    let entries = std::fs::read_dir(&corpus).expect("a corpus");
    let inputs =
        entries.map(|entry| std::fs::read(entry.expect("an entry").path()).expect("an input"));
    assert!(inputs.filter(|input| targets::mcp_message::compare(input)).count() > 20);
}

/// Checks the names of this target's seeds. Without valid signatures, the target would only compare
/// rejections.
#[test]
fn genuine_signatures_are_accepted() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/verifiers");
    let mut counts = [0, 0];
    for entry in std::fs::read_dir(&corpus).expect("a corpus") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let is_genuine = name.starts_with("genuine-");
        if is_genuine || name.starts_with("near-") {
            let input = std::fs::read(&path).expect("an input");
            assert_eq!(targets::verifiers::is_accepted(&input), Some(is_genuine), "{name}");
            counts[usize::from(is_genuine)] += 1;
        }
    }
    assert!(!counts.contains(&0), "{counts:?}");
}

/// Checks the names of this target's seeds. Without accepted proofs, the target would only compare refusals.
#[test]
fn proofs_are_accepted_by_name() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/dpop_proof");
    let mut counts = [0, 0];
    for entry in std::fs::read_dir(&corpus).expect("a corpus") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let is_good = name.starts_with("accepted-");
        if is_good || name.starts_with("refused-") {
            let input = std::fs::read(&path).expect("an input");
            assert_eq!(targets::dpop_proof::is_accepted(&input), Some(is_good), "{name}");
            counts[usize::from(is_good)] += 1;
        }
    }
    assert!(!counts.contains(&0), "{counts:?}");
}
