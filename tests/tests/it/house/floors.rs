//! The folders of the library import downward only.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// From the top floor down: each folder of `oauth2-actix/src`, and the folders that it imports. A folder imports only
/// folders that stand below it in this list.
const FLOORS: &[(&str, &[&str])] = &[
    ("testing", &["builder", "access", "token", "dpop", "config", "http", "jose", "util", "json"]),
    ("mcp", &["token", "request", "config", "authorize", "json", "error"]),
    ("ws", &["builder", "policy", "authorize", "token", "request", "error"]),
    (
        "middleware",
        &[
            "builder", "exchange", "response", "policy", "public", "token", "request", "dpop",
            "util", "error",
        ],
    ),
    (
        "builder",
        &[
            "access",
            "api_keys",
            "exchange",
            "status",
            "policy",
            "protected_resource",
            "logout",
            "introspection",
            "status_list",
            "provider",
            "public",
            "token",
            "request",
            "revocation",
            "outbound",
            "dpop",
            "mtls",
            "config",
            "authorize",
            "keys",
            "http",
            "jose",
            "util",
            "json",
            "error",
        ],
    ),
    ("response", &["policy", "public", "request", "config", "util", "error"]),
    ("status", &["introspection", "provider", "token", "keys", "jose", "util"]),
    (
        "policy",
        &[
            "access",
            "api_keys",
            "exchange",
            "protected_resource",
            "logout",
            "introspection",
            "status_list",
            "provider",
            "public",
            "token",
            "request",
            "revocation",
            "dpop",
            "mtls",
            "config",
            "keys",
            "jose",
            "util",
            "json",
            "error",
        ],
    ),
    ("exchange", &["token", "config", "outbound", "http", "json", "util", "error"]),
    ("access", &["public", "token", "authorize"]),
    (
        "api_keys",
        &[
            "token",
            "outbound",
            "config",
            "authorize",
            "jose",
            "revocation",
            "util",
            "json",
            "error",
        ],
    ),
    ("protected_resource", &["public", "token", "config", "keys", "http", "jose", "util", "json"]),
    (
        "logout",
        &[
            "provider",
            "public",
            "token",
            "config",
            "keys",
            "jose",
            "revocation",
            "util",
            "json",
            "error",
        ],
    ),
    (
        "status_list",
        &[
            "provider", "token", "outbound", "config", "keys", "http", "jose", "util", "json",
            "error",
        ],
    ),
    (
        "introspection",
        &[
            "provider",
            "token",
            "outbound",
            "config",
            "keys",
            "http",
            "jose",
            "revocation",
            "util",
            "json",
            "error",
        ],
    ),
    (
        "provider",
        &["token", "config", "authorize", "keys", "http", "jose", "util", "json", "error"],
    ),
    ("public", &["token", "authorize"]),
    ("mtls", &["config"]),
    ("request", &["config", "error"]),
    ("outbound", &["config", "keys", "http", "jose", "util"]),
    ("dpop", &["store", "config", "jose", "json", "util"]),
    ("config", &["authorize", "token", "keys", "http", "jose", "util"]),
    ("authorize", &["token", "error"]),
    ("token", &["revocation", "jose", "util", "json", "error"]),
    ("keys", &["http", "jose", "util", "json", "error"]),
    ("http", &["jose"]),
    ("jose", &["util", "json", "error"]),
    ("revocation", &["store", "util", "error"]),
    ("store", &["util"]),
    ("util", &["error"]),
    ("json", &[]),
    ("error", &[]),
];

/// The crate's root, and what only macros and fuzzing use. They import any folder.
const ROOTS: [&str; 3] = ["lib", "__private", "__fuzz"];

#[test]
fn folders_import_downward_and_as_listed() {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for (folder, text) in sources() {
        if ROOTS.contains(&folder.as_str()) {
            continue;
        }
        let Some(floor) = floor(&folder) else {
            problems.push(format!("{folder} is not in the list"));
            continue;
        };
        for imported in imports(&text) {
            if imported == folder {
                continue;
            }
            match FLOORS.iter().position(|(name, _)| *name == imported) {
                None => {
                    problems.push(format!("{folder} imports {imported} through the crate's root"))
                }
                Some(below) if below <= floor => {
                    problems.push(format!("{folder} imports {imported}, which is not below it"));
                }
                Some(_) if !FLOORS[floor].1.contains(&imported.as_str()) => {
                    problems.push(format!("{folder} imports {imported}, which is not in the list"));
                }
                Some(_) => {}
            }
            seen.insert((folder.clone(), imported));
        }
    }
    for (folder, listed) in FLOORS {
        for imported in *listed {
            if !seen.contains(&((*folder).to_owned(), (*imported).to_owned())) {
                problems.push(format!(
                    "{folder} no longer imports {imported}: remove it from the list"
                ));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn imports_are_read_in_every_form() {
    let text = "use crate::{a::{b, c}, d::e};\nuse crate::f::{self};\nfn x() -> crate::g::H {}\n// crate::comment::X\n";
    let found: Vec<_> = imports(text).into_iter().collect();
    assert_eq!(found, ["a", "d", "f", "g"]);
    assert_eq!(imports("use crate::Error;").into_iter().collect::<Vec<_>>(), ["Error"]);
}

fn floor(folder: &str) -> Option<usize> {
    FLOORS.iter().position(|(name, _)| *name == folder)
}

/// The first segments of all paths that begin with `crate::`.
fn imports(text: &str) -> BTreeSet<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap()).collect();
    let code = code.join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|character| character.is_alphanumeric() || "_$:".contains(character))
        {
            continue;
        }
        let path = &code[at + "crate::".len()..];
        match path.strip_prefix('{') {
            None => found.extend(first_segment(path)),
            Some(group) => {
                found.extend(entries(group).iter().filter_map(|entry| first_segment(entry)))
            }
        }
    }
    found
}

/// The entries of a group, up to the brace that closes it.
fn entries(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

fn first_segment(path: &str) -> Option<String> {
    let path = path.trim_start();
    let end = path.find(|character: char| !character.is_alphanumeric() && character != '_');
    let segment = &path[..end.unwrap_or(path.len())];
    (!segment.is_empty()).then(|| segment.to_owned())
}

/// Each source file without its unit tests, with the folder or single file at the top that it belongs to.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../oauth2-actix/src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 60, "{}", files.len());
    let read = |path: PathBuf| {
        let inside = path.strip_prefix(&root).unwrap();
        let top = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
        (top.trim_end_matches(".rs").to_owned(), code)
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
}
