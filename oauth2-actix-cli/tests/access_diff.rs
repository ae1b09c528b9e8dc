//! Runs the command with files in a temporary directory: what it prints, and its exit codes.

#![allow(clippy::unwrap_used)]

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::{self, Command, Stdio},
    thread,
};

use oauth2_actix::access::Routes;

const REFUNDS: &str = r#"{"methods": ["POST"], "pattern": "/refunds", "handler": "my_api::refund", "access": ["scope refunds:write"]}"#;
const REFUNDS_FOR_ALL: &str = r#"{"methods": ["POST"], "pattern": "/refunds", "handler": "my_api::refund", "access": ["authenticated"]}"#;
const ORDERS: &str = r#"{"methods": ["GET"], "pattern": "/orders", "handler": "my_api::orders", "access": ["scope orders:read"]}"#;
const ORDERS_BY_LIST: &str = r#"{"methods": ["GET"], "pattern": "/orders", "handler": "my_api::orders", "access": ["scope orders:list"]}"#;

const WEAKER: &str = "weaker: `POST /refunds` no longer requires scope refunds:write\n";
const STRICTER: &str = "stricter: `POST /refunds` now requires scope refunds:write\n";
const DIFFERENT: &str = "different: `GET /orders` no longer requires scope orders:read\n\
                         different: `GET /orders` now requires scope orders:list\n";
const NO_CHANGES: &str = "no changes\n";

const IS_UNREADABLE: &str = "; expected a file with a table of access rules\n";
const IS_INVALID: &str =
    "; expected JSON in UTF-8 as `oauth2_actix::access::routes().to_json()` writes it\n";

/// A directory that is removed at the end of its test.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let path = env::temp_dir().join(format!("oauth2-actix-cli-{test}-{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Returns a directory with `old.json` and `new.json`.
    fn with(test: &str, old: &[&str], new: &[&str]) -> Self {
        let directory = Self::new(test);
        directory.write("old.json", table(old));
        directory.write("new.json", table(new));
        directory
    }

    fn write(&self, name: impl AsRef<OsStr>, content: impl AsRef<[u8]>) {
        fs::write(self.0.join(name.as_ref()), content).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oauth2-actix"));
        command.current_dir(&self.0).args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Output::of(&mut self.command(arguments))
    }

    fn run_with_stdin(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A program that ends without reading closes the pipe.
        let _ = stdin.write_all(input.as_ref());
        drop(stdin);
        Output::from(child.wait_with_output().unwrap())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug, PartialEq)]
struct Output {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Output {
    fn of(command: &mut Command) -> Self {
        Self::from(command.output().unwrap())
    }

    /// Asserts that the program has printed this, and no error.
    #[track_caller]
    fn is(&self, code: i32, stdout: &str) {
        let expected = Self { code: Some(code), stdout: stdout.to_owned(), stderr: String::new() };
        assert_eq!(*self, expected);
    }

    /// Asserts that the program has printed this error only.
    #[track_caller]
    fn is_error(&self, message: &str) {
        let stderr = format!("error: {message}\n");
        assert_eq!(*self, Self { code: Some(2), stdout: String::new(), stderr });
    }

    /// Asserts that the program has printed one line, an error, with text between this start and this end that
    /// the operating system or the parser has written.
    #[track_caller]
    fn is_error_between(&self, start: &str, end: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(2), ""), "{self:?}");
        let middle = self.stderr.strip_prefix(&format!("error: {start}"));
        let middle = middle.and_then(|rest| rest.strip_suffix(end));
        assert!(middle.is_some_and(|text| !text.is_empty()), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
    }
}

impl From<process::Output> for Output {
    fn from(output: process::Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn table(routes: &[&str]) -> String {
    format!("[{}]", routes.join(",\n"))
}

/// Returns a table whose comparison with an empty one prints more than a pipe holds.
fn large_table() -> String {
    let route = |number| {
        format!(
            r#"{{"methods": ["GET"], "pattern": "/{number}", "handler": "my_api::{number}", "access": ["public"]}}"#
        )
    };
    format!("[{}]", (0..5000).map(route).collect::<Vec<_>>().join(","))
}

// Changes.

#[test]
fn weaker_rule_is_printed_and_exits_with_1() {
    let directory = Directory::with("weaker", &[REFUNDS, ORDERS], &[REFUNDS_FOR_ALL, ORDERS]);
    directory.run(&["access-diff", "old.json", "new.json"]).is(1, WEAKER);
}

#[test]
fn stricter_rule_is_printed_and_exits_with_1() {
    let directory = Directory::with("stricter", &[REFUNDS_FOR_ALL], &[REFUNDS]);
    directory.run(&["access-diff", "old.json", "new.json"]).is(1, STRICTER);
}

#[test]
fn rule_with_another_requirement_is_printed_and_exits_with_1() {
    let directory = Directory::with("different", &[ORDERS], &[ORDERS_BY_LIST]);
    directory.run(&["access-diff", "old.json", "new.json"]).is(1, DIFFERENT);
}

#[test]
fn route_that_is_gone_or_new_is_printed_and_exits_with_1() {
    let directory = Directory::with("gone", &[ORDERS], &[REFUNDS_FOR_ALL]);
    directory.run(&["access-diff", "old.json", "new.json"]).is(
        1,
        "different: `GET /orders` is gone from the table; it required: scope orders:read\n\
         weaker: `POST /refunds` is new; it requires: authenticated\n",
    );
}

#[test]
fn several_changes_are_printed_one_per_line() {
    let directory =
        Directory::with("several", &[REFUNDS, ORDERS], &[REFUNDS_FOR_ALL, ORDERS_BY_LIST]);
    let lines = format!("{DIFFERENT}{WEAKER}");
    directory.run(&["access-diff", "old.json", "new.json"]).is(1, &lines);
}

#[test]
fn same_tables_print_no_changes_and_exit_with_0() {
    let directory = Directory::with("same", &[REFUNDS, ORDERS], &[ORDERS, REFUNDS]);
    for fail_on in ["any", "weaker", "none"] {
        let arguments = ["access-diff", "--fail-on", fail_on, "old.json", "new.json"];
        directory.run(&arguments).is(0, NO_CHANGES);
    }
    directory.run(&["access-diff", "old.json", "old.json"]).is(0, NO_CHANGES);
}

#[test]
fn table_that_the_library_has_written_is_read() {
    let directory = Directory::new("written");
    let routes = Routes::from_json(&table(&[REFUNDS])).unwrap();
    directory.write("old.json", routes.to_json());
    directory.write("new.json", Routes::default().to_json());
    directory.run(&["access-diff", "old.json", "new.json"]).is(
        1,
        "different: `POST /refunds` is gone from the table; it required: scope refunds:write\n",
    );
}

#[test]
fn control_characters_of_a_table_are_printed_as_escapes() {
    let route = r#"{"methods": ["GET"], "pattern": "/a\nno changes\u001b[2K", "handler": "a", "access": ["public"]}"#;
    let directory = Directory::with("control", &[], &[route]);
    directory
        .run(&["access-diff", "old.json", "new.json"])
        .is(1, "weaker: `GET /a\\nno changes\\u{1b}[2K` is new; it requires: public\n");
}

// `--fail-on`.

#[test]
fn fail_on_decides_which_changes_exit_with_1() {
    for (test, old, new, stdout, codes) in [
        ("fail-on-weaker", REFUNDS, REFUNDS_FOR_ALL, WEAKER, [1, 1, 0]),
        ("fail-on-different", ORDERS, ORDERS_BY_LIST, DIFFERENT, [1, 1, 0]),
        ("fail-on-stricter", REFUNDS_FOR_ALL, REFUNDS, STRICTER, [0, 1, 0]),
    ] {
        let directory = Directory::with(test, &[old], &[new]);
        for (value, code) in ["weaker", "any", "none"].into_iter().zip(codes) {
            let arguments = ["access-diff", "--fail-on", value, "old.json", "new.json"];
            directory.run(&arguments).is(code, stdout);
        }
    }
}

#[test]
fn fail_on_weaker_with_a_stricter_and_a_weaker_change_exits_with_1() {
    let directory = Directory::with("mixed", &[REFUNDS, ORDERS], &[REFUNDS_FOR_ALL]);
    directory.run(&["access-diff", "--fail-on", "weaker", "old.json", "new.json"]).is(
        1,
        &format!("different: `GET /orders` is gone from the table; it required: scope orders:read\n{WEAKER}"),
    );
}

#[test]
fn fail_on_at_any_position_and_in_either_form_is_read() {
    let directory = Directory::with("order", &[REFUNDS_FOR_ALL], &[REFUNDS]);
    for arguments in [
        &["--fail-on", "weaker", "access-diff", "old.json", "new.json"][..],
        &["access-diff", "--fail-on", "weaker", "old.json", "new.json"],
        &["access-diff", "old.json", "--fail-on", "weaker", "new.json"],
        &["access-diff", "old.json", "new.json", "--fail-on", "weaker"],
        &["--fail-on=weaker", "access-diff", "old.json", "new.json"],
        &["access-diff", "old.json", "new.json", "--fail-on=weaker"],
    ] {
        directory.run(arguments).is(0, STRICTER);
    }
}

#[test]
fn fail_on_with_another_value_is_an_error() {
    let directory = Directory::with("value", &[], &[]);
    for value in ["stricter", "Weaker", "", "--help", "old.json"] {
        let message = format!(
            "`--fail-on` has the value `{value}`; expected one of `weaker`, `any` and `none`"
        );
        let arguments = ["access-diff", "--fail-on", value, "old.json", "new.json"];
        directory.run(&arguments).is_error(&message);
        let argument = format!("--fail-on={value}");
        directory.run(&["access-diff", "old.json", "new.json", &argument]).is_error(&message);
    }
}

#[test]
fn fail_on_without_a_value_is_an_error() {
    let directory = Directory::with("no-value", &[], &[]);
    directory
        .run(&["access-diff", "old.json", "new.json", "--fail-on"])
        .is_error("`--fail-on` has no value; expected one of `weaker`, `any` and `none`");
}

#[test]
fn fail_on_given_twice_is_an_error() {
    let directory = Directory::with("twice", &[], &[]);
    directory
        .run(&["access-diff", "--fail-on", "any", "--fail-on=none", "old.json", "new.json"])
        .is_error("`--fail-on` is given twice; expected it once");
}

// Usage.

#[test]
fn help_prints_the_usage_and_exits_with_0() {
    let directory = Directory::new("help");
    let help = directory.run(&["--help"]);
    help.is(0, &help.stdout);
    for part in [
        "Compares two tables of access rules",
        "Usage: oauth2-actix access-diff [--fail-on weaker|any|none] OLD.json NEW.json\n",
        "--fail-on any ",
        "--fail-on weaker ",
        "--fail-on none ",
        "--help ",
        "--version ",
        "\n  0  no change counts\n  1  a change counts\n  2  ",
    ] {
        assert!(help.stdout.contains(part), "{part}: {}", help.stdout);
    }
    for arguments in [&["access-diff", "--help"][..], &["access-diff", "missing.json", "--help"]] {
        assert_eq!(directory.run(arguments), help);
    }
}

#[test]
fn version_prints_the_version_and_exits_with_0() {
    let version = format!("oauth2-actix {}\n", env!("CARGO_PKG_VERSION"));
    let directory = Directory::new("version");
    directory.run(&["--version"]).is(0, &version);
    directory.run(&["access-diff", "--version"]).is(0, &version);
}

#[test]
fn missing_command_is_an_error() {
    let directory = Directory::new("no-command");
    let message = "there is no command; expected `access-diff`, `api-key` or `--help`";
    directory.run(&[]).is_error(message);
    directory.run(&["--fail-on", "any"]).is_error(message);
}

#[test]
fn unknown_command_is_an_error() {
    let directory = Directory::with("command", &[], &[]);
    for command in ["diff", "", "Access-Diff", "old.json"] {
        directory
            .run(&[command, "old.json", "new.json"])
            .is_error(&format!("unknown command `{command}`; expected `access-diff` or `api-key`"));
    }
}

#[test]
fn unknown_option_is_an_error() {
    let directory = Directory::with("option", &[], &[]);
    for option in ["--fail", "--fail_on=any", "-h", "--", "--help=any", "--fail-onany"] {
        let message = format!(
            "unknown option `{option}`; expected one of `--fail-on`, `--help` and `--version`"
        );
        directory.run(&["access-diff", "old.json", "new.json", option]).is_error(&message);
        directory.run(&["access-diff", option, "old.json", "new.json"]).is_error(&message);
    }
}

#[test]
fn paths_other_than_two_are_an_error() {
    let directory = Directory::with("paths", &[], &[]);
    for count in [0, 1, 3] {
        let arguments = [&["access-diff"][..], &["old.json"; 3][..count]].concat();
        directory.run(&arguments).is_error(&format!(
            "the number of paths is {count}; expected two, OLD.json and NEW.json"
        ));
    }
}

#[test]
fn control_characters_of_an_argument_are_printed_as_escapes() {
    let directory = Directory::new("argument");
    directory
        .run(&["a\nb\u{1b}"])
        .is_error("unknown command `a\\nb\\u{1b}`; expected `access-diff` or `api-key`");
}

// Standard input.

#[test]
fn old_table_from_standard_input_is_compared() {
    let directory = Directory::with("old-stdin", &[], &[REFUNDS_FOR_ALL]);
    let arguments = ["access-diff", "-", "new.json"];
    directory.run_with_stdin(&arguments, table(&[REFUNDS])).is(1, WEAKER);
    directory.run_with_stdin(&arguments, table(&[REFUNDS_FOR_ALL])).is(0, NO_CHANGES);
}

#[test]
fn new_table_from_standard_input_is_compared() {
    let directory = Directory::with("new-stdin", &[REFUNDS], &[]);
    let arguments = ["access-diff", "--fail-on", "weaker", "old.json", "-"];
    directory.run_with_stdin(&arguments, table(&[REFUNDS_FOR_ALL])).is(1, WEAKER);
    directory.run_with_stdin(&arguments, table(&[REFUNDS])).is(0, NO_CHANGES);
}

#[test]
fn standard_input_larger_than_a_pipe_is_read_to_its_end() {
    let directory = Directory::with("large-stdin", &[], &[]);
    directory.write("new.json", large_table());
    directory.run_with_stdin(&["access-diff", "-", "new.json"], large_table()).is(0, NO_CHANGES);
}

#[test]
fn standard_input_for_both_tables_is_an_error() {
    let directory = Directory::new("both");
    directory
        .run_with_stdin(&["access-diff", "-", "-"], table(&[]))
        .is_error("both paths are `-`; expected at most one, as standard input has one table");
}

/// A pipe is empty if the program before it fails, as `git show` without the file does.
#[test]
fn empty_standard_input_is_an_error() {
    let directory = Directory::with("empty-stdin", &[], &[]);
    directory
        .run_with_stdin(&["access-diff", "-", "new.json"], "")
        .is_error_between("standard input is not a table of access rules: ", IS_INVALID);
}

#[test]
fn invalid_standard_input_is_an_error() {
    let directory = Directory::with("invalid-stdin", &[], &[]);
    directory
        .run_with_stdin(&["access-diff", "old.json", "-"], "{}")
        .is_error_between("standard input is not a table of access rules: ", IS_INVALID);
}

#[cfg(target_os = "linux")]
#[test]
fn standard_input_that_cannot_be_read_is_an_error() {
    let directory = Directory::with("unreadable-stdin", &[], &[]);
    let folder = fs::File::open(&directory.0).unwrap();
    Output::of(directory.command(&["access-diff", "-", "new.json"]).stdin(folder))
        .is_error_between("standard input cannot be read: ", IS_UNREADABLE);
}

// Files.

#[test]
fn missing_file_is_an_error_that_names_it() {
    let directory = Directory::with("missing", &[], &[]);
    for (old, new) in [("gone.json", "new.json"), ("old.json", "gone.json")] {
        directory
            .run(&["access-diff", old, new])
            .is_error_between("`gone.json` cannot be read: ", IS_UNREADABLE);
    }
    directory
        .run(&["access-diff", "", "new.json"])
        .is_error_between("`` cannot be read: ", IS_UNREADABLE);
}

#[test]
fn directory_as_a_file_is_an_error_that_names_it() {
    let directory = Directory::with("directory", &[], &[]);
    fs::create_dir(directory.0.join("folder")).unwrap();
    directory
        .run(&["access-diff", "old.json", "folder"])
        .is_error_between("`folder` cannot be read: ", IS_UNREADABLE);
}

#[test]
fn invalid_table_is_an_error_that_names_the_file_and_the_fault() {
    let directory = Directory::with("invalid", &[], &[]);
    for (content, fault) in [
        (&b""[..], "EOF while parsing a value at line 1 column 0"),
        (b"routes", "expected value at line 1 column 1"),
        (b"[] []", "trailing characters at line 1 column 4"),
        (b"{}", "invalid type: map, expected a sequence at line 1 column 0"),
        (br#"[{"methods": []}]"#, "missing field `handler` at line 1 column 16"),
        (
            br#"[{"a\nb": 1}]"#,
            "unknown field `a\\nb`, expected one of `pattern`, `methods`, `handler`, `access` at line 1 column 8",
        ),
        (b"\xff\xfe[\0]\0", "invalid utf-8 sequence of 1 bytes from index 0"),
    ] {
        directory.write("bad.json", content);
        for (old, new) in [("bad.json", "new.json"), ("old.json", "bad.json")] {
            let output = directory.run(&["access-diff", old, new]);
            let message = format!("`bad.json` is not a table of access rules: {fault}{IS_INVALID}");
            output.is_error(message.trim_end());
        }
    }
}

#[test]
fn invalid_table_with_fail_on_none_is_an_error() {
    let directory = Directory::with("invalid-none", &[], &[]);
    directory.write("bad.json", "null");
    directory
        .run(&["access-diff", "--fail-on", "none", "old.json", "bad.json"])
        .is_error_between("`bad.json` is not a table of access rules: ", IS_INVALID);
}

#[test]
fn file_whose_name_starts_with_a_hyphen_is_read_with_its_directory() {
    let directory = Directory::with("hyphen", &[], &[REFUNDS]);
    directory.write("-", table(&[REFUNDS]));
    directory.run(&["access-diff", "./-", "new.json"]).is(0, NO_CHANGES);
}

#[cfg(target_os = "linux")]
#[test]
fn file_whose_name_is_not_utf_8_is_read() {
    use std::os::unix::ffi::OsStrExt as _;

    let name = OsStr::from_bytes(b"old-\xff.json");
    let directory = Directory::with("bytes", &[], &[REFUNDS_FOR_ALL]);
    directory.write(name, table(&[REFUNDS]));
    Output::of(directory.command(&["access-diff"]).arg(name).arg("new.json")).is(1, WEAKER);
    let name = OsStr::from_bytes(b"gone-\xff.json");
    Output::of(directory.command(&["access-diff"]).arg(name).arg("new.json"))
        .is_error_between("`gone-\u{fffd}.json` cannot be read: ", IS_UNREADABLE);
}

// Output.

#[test]
fn closed_standard_output_changes_no_exit_code_and_is_no_error() {
    let directory = Directory::with("closed", &[REFUNDS], &[REFUNDS_FOR_ALL]);
    directory.write("large.json", large_table());
    for (arguments, code) in [
        (&["access-diff", "old.json", "new.json"][..], 1),
        (&["access-diff", "old.json", "large.json"], 1),
        (&["access-diff", "--fail-on", "none", "old.json", "large.json"], 0),
        (&["access-diff", "old.json", "old.json"], 0),
        (&["--help"], 0),
        (&["--version"], 0),
    ] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        Output::of(directory.command(arguments).stdout(writer)).is(code, "");
    }
}

#[test]
fn standard_output_that_is_closed_while_it_is_written_is_no_error() {
    let directory = Directory::with("closing", &[], &[]);
    directory.write("new.json", large_table());
    let (mut reader, writer) = io::pipe().unwrap();
    let reads_one_byte = thread::spawn(move || io::Read::read_exact(&mut reader, &mut [0]));
    let arguments = ["access-diff", "old.json", "new.json"];
    Output::of(directory.command(&arguments).stdout(writer)).is(1, "");
    reads_one_byte.join().unwrap().unwrap();
}

#[test]
fn closed_standard_error_changes_no_exit_code() {
    let directory = Directory::new("stderr");
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let output = Output::of(directory.command(&["diff"]).stderr(writer));
    assert_eq!(output, Output { code: Some(2), stdout: String::new(), stderr: String::new() });
}

#[cfg(target_os = "linux")]
#[test]
fn standard_output_without_room_is_an_error() {
    let directory = Directory::with("full", &[REFUNDS], &[REFUNDS]);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output =
        Output::of(directory.command(&["access-diff", "old.json", "new.json"]).stdout(full));
    output.is_error_between(
        "standard output cannot be written: ",
        "; expected a file, a pipe or a terminal\n",
    );
}
