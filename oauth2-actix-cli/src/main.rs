//! The command `oauth2-actix`, which compares two tables of access rules and makes API keys.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{self, ErrorKind, Read as _, Write as _},
    process::ExitCode,
};

use oauth2_actix::{
    access::{Change, Effect, Routes},
    api_keys::ApiKey,
};

mod api_key;

const USAGE: &str = "\
Compares two tables of access rules, and prints each change in words. Or makes an API key, and prints it with its hash.

Usage: oauth2-actix access-diff [--fail-on weaker|any|none] OLD.json NEW.json
       oauth2-actix api-key new --prefix PREFIX

A table is JSON as `oauth2_actix::access::routes().to_json()` writes it. One of the paths may be `-`, which is
standard input.

The hash of an API key is for the configuration of a service or its database. The key is shown once, and kept nowhere.

Options:
  --prefix PREFIX   what the API key begins with, such as `shop_live_`
  --fail-on any     each change counts (the default)
  --fail-on weaker  changes count that are `weaker` or `different`; a route that is gone is `different`
  --fail-on none    no change counts
  --help            prints this text
  --version         prints the version

Exit codes:
  0  no change counts
  1  a change counts
  2  the arguments are wrong, a file cannot be read, or a table is invalid
";

/// What the arguments ask for.
enum Action {
    Help,
    Version,
    AccessDiff {
        old: OsString,
        new: OsString,
        fail_on: FailOn,
    },
    /// Makes an API key with this prefix.
    NewApiKey(String),
}

/// The changes that count for the exit code.
#[derive(Clone, Copy)]
enum FailOn {
    Weaker,
    Any,
    Nothing,
}

fn main() -> ExitCode {
    run(env::args_os().skip(1)).unwrap_or_else(|error| {
        // A closed standard error changes no exit code.
        let _ = writeln!(io::stderr(), "error: {}", in_one_line(&error));
        ExitCode::from(2)
    })
}

fn run(arguments: impl Iterator<Item = OsString>) -> Result<ExitCode, String> {
    match parse(arguments)? {
        Action::Help => print(USAGE)?,
        Action::Version => {
            print(concat!(env!("CARGO_BIN_NAME"), " ", env!("CARGO_PKG_VERSION"), "\n"))?;
        }
        Action::AccessDiff { old, new, fail_on } => {
            let (old, new) = (read(&old)?, read(&new)?);
            let changes = new.changes_since(&old);
            print(&lines(&changes))?;
            if changes.iter().any(|change| fail_on.counts(change)) {
                return Ok(ExitCode::from(1));
            }
        }
        Action::NewApiKey(prefix) => {
            let key = ApiKey::generate(&prefix).map_err(|error| error.to_string())?;
            print(&format!("key: {}\nhash: {}\n", key.expose_text(), key.hash()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Action, String> {
    let mut arguments = arguments.peekable();
    if arguments.next_if(|first| first == "api-key").is_some() {
        return api_key::parse(arguments);
    }
    let mut words = Vec::new();
    let mut fail_on = None;
    while let Some(argument) = arguments.next() {
        let is_option = argument != "-" && argument.as_encoded_bytes().starts_with(b"-");
        if !is_option {
            words.push(argument);
            continue;
        }
        let option = argument.to_string_lossy();
        let value = match option.split_once('=') {
            Some(("--fail-on", value)) => value.to_owned(),
            None if option == "--help" => return Ok(Action::Help),
            None if option == "--version" => return Ok(Action::Version),
            None if option == "--fail-on" => {
                let value = arguments.next().ok_or_else(|| {
                    format!("`--fail-on` has no value; expected {}", FailOn::VALUES)
                })?;
                value.to_string_lossy().into_owned()
            }
            _ => {
                return Err(format!(
                    "unknown option `{option}`; expected one of `--fail-on`, `--help` and `--version`"
                ));
            }
        };
        if fail_on.replace(FailOn::parse(&value)?).is_some() {
            return Err("`--fail-on` is given twice; expected it once".to_owned());
        }
    }
    let mut words = words.into_iter();
    match words.next() {
        Some(command) if command == "access-diff" => {}
        Some(command) => {
            return Err(format!(
                "unknown command `{}`; expected `access-diff` or `api-key`",
                command.to_string_lossy()
            ));
        }
        None => {
            return Err(
                "there is no command; expected `access-diff`, `api-key` or `--help`".to_owned()
            );
        }
    }
    let paths: Vec<OsString> = words.collect();
    let [old, new] = <[OsString; 2]>::try_from(paths).map_err(|paths| {
        format!("the number of paths is {}; expected two, OLD.json and NEW.json", paths.len())
    })?;
    if old == "-" && new == "-" {
        return Err(
            "both paths are `-`; expected at most one, as standard input has one table".to_owned()
        );
    }
    Ok(Action::AccessDiff { old, new, fail_on: fail_on.unwrap_or(FailOn::Any) })
}

impl FailOn {
    const VALUES: &str = "one of `weaker`, `any` and `none`";

    fn parse(value: &str) -> Result<Self, String> {
        match value {
            "weaker" => Ok(Self::Weaker),
            "any" => Ok(Self::Any),
            "none" => Ok(Self::Nothing),
            _ => Err(format!("`--fail-on` has the value `{value}`; expected {}", Self::VALUES)),
        }
    }

    fn counts(self, change: &Change) -> bool {
        match self {
            // An effect that a later version of the library adds counts too.
            Self::Weaker => change.effect() != Effect::Stricter,
            Self::Any => true,
            Self::Nothing => false,
        }
    }
}

/// Reads the table of a file, or of standard input.
fn read(path: &OsStr) -> Result<Routes, String> {
    let is_stdin = path == "-";
    let name = if is_stdin { "standard input".to_owned() } else { format!("`{}`", path.display()) };
    let mut bytes = Vec::new();
    let result = if is_stdin {
        io::stdin().lock().read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    result.map_err(|error| {
        format!("{name} cannot be read: {error}; expected a file with a table of access rules")
    })?;
    let invalid = |error: &dyn std::error::Error| {
        format!(
            "{name} is not a table of access rules: {error}; expected JSON in UTF-8 as \
             `oauth2_actix::access::routes().to_json()` writes it"
        )
    };
    let text = String::from_utf8(bytes).map_err(|error| invalid(&error))?;
    Routes::from_json(&text).map_err(|error| invalid(&error))
}

fn lines(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "no changes\n".to_owned();
    }
    changes.iter().map(|change| in_one_line(&change.to_string()) + "\n").collect()
}

/// Escapes control characters, so that the text of a table neither starts a line nor controls a terminal.
fn in_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// Writes to standard output. A reader that has closed the pipe, such as `head`, is no error.
fn print(text: &str) -> Result<(), String> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!(
            "standard output cannot be written: {error}; expected a file, a pipe or a terminal"
        )),
        _ => Ok(()),
    }
}
