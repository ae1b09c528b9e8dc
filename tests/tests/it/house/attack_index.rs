//! The index of the attacks and the security page name tests that exist, and the index names every attack.

use std::{collections::BTreeSet, fs, path::Path};

fn tests_folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
}

/// Adds the path of each test below this folder.
fn collect_tests(folder: &Path, module: &str, tests: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let inner = match stem {
            "main" | "mod" => module.to_owned(),
            _ if module.is_empty() => stem.to_owned(),
            _ => format!("{module}::{stem}"),
        };
        if path.is_dir() {
            collect_tests(&path, &inner, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut is_test = false;
            for line in fs::read_to_string(&path).unwrap().lines().map(str::trim) {
                let name = line.trim_start_matches("async ").strip_prefix("fn ");
                if line.starts_with("#[test]")
                    || line.contains("::test]")
                    || line.contains("::test(")
                {
                    is_test = true;
                } else if let Some((name, _)) = name.and_then(|name| name.split_once('('))
                    && is_test
                {
                    tests.insert(format!("{inner}::{name}"));
                    is_test = false;
                }
            }
        }
    }
}

fn tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    collect_tests(&tests_folder().join("it"), "", &mut tests);
    collect_tests(&tests_folder().join("attacks"), "attacks", &mut tests);
    assert!(tests.len() > 500, "{}", tests.len());
    tests
}

/// The names of tests in a page: text in backticks that is a path in lower case.
fn named_in(page: &str) -> Vec<String> {
    let is_path = |text: &&str| {
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:…".contains(c);
        text.contains("::") && !text.ends_with("::") && text.chars().all(is_part)
    };
    let text = fs::read_to_string(tests_folder().join(page)).unwrap();
    let lines = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    lines.filter(is_path).map(str::to_owned).collect()
}

fn is_named(test: &str, name: &str) -> bool {
    name.strip_suffix('…').map_or(test == name, |start| test.starts_with(start))
}

#[test]
fn names_of_tests_in_the_pages_exist() {
    let tests = tests();
    for page in ["attacks/README.md", "../../docs/security.md"] {
        let names = named_in(page);
        assert!(names.len() > 20, "{page}: {names:?}");
        let missing: Vec<_> =
            names.iter().filter(|name| !tests.iter().any(|test| is_named(test, name))).collect();
        assert!(missing.is_empty(), "{page} names tests that do not exist: {missing:#?}");
    }
}

#[test]
fn every_attack_is_in_the_index() {
    let names = named_in("attacks/README.md");
    let missing: Vec<_> = tests()
        .into_iter()
        .filter(|test| test.starts_with("attacks::") && !test.contains("::alone_"))
        .filter(|test| !names.iter().any(|name| is_named(test, name)))
        .collect();
    assert!(missing.is_empty(), "expected in attacks/README.md: {missing:#?}");
}
