//! Servers of Redis, which must be installed.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    tls::{Authority, Identity},
    wait::PATIENCE,
};

/// A server with a directory of its own. It ends, and the directory is removed, when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    /// Its port on 127.0.0.1.
    pub port: u16,
    directory: PathBuf,
    arguments: Vec<String>,
    /// Arguments of `redis-cli`, for a password or TLS.
    cli: Vec<String>,
    /// The file with the settings, if it is a sentinel.
    sentinel: Option<PathBuf>,
}

impl Server {
    /// Starts a server that keeps nothing on disk.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a server on this port.
    #[must_use]
    pub fn at(port: u16) -> Self {
        Self::launch(port, &["--port", &port.to_string()], &[], &[])
    }

    /// Starts a server with these further settings.
    #[must_use]
    pub fn with(arguments: &[&str]) -> Self {
        let port = free_port();
        Self::launch(port, &["--port", &port.to_string()], arguments, &[])
    }

    /// Starts a server whose `redis-cli` needs these arguments.
    #[must_use]
    pub fn with_cli(arguments: &[&str], cli: &[&str]) -> Self {
        let port = free_port();
        Self::launch(port, &["--port", &port.to_string()], arguments, cli)
    }

    /// Starts a server with TLS: its certificate and key, and the authority of clients, if they need a certificate.
    #[must_use]
    pub fn with_tls(identity: &Identity, clients: Option<&Authority>) -> Self {
        let port = free_port();
        let directory = new_directory();
        let write = |name: &str, content: &[u8]| {
            let path = directory.join(name);
            fs::write(&path, content).unwrap();
            path.display().to_string()
        };
        let pem = write("server.pem", &identity.pem());
        let authority = clients.map_or_else(|| identity.pem(), Authority::pem);
        let authority = write("clients.pem", &authority);
        let port_text = port.to_string();
        let arguments = [
            "--port",
            "0",
            "--tls-port",
            port_text.as_str(),
            "--tls-cert-file",
            pem.as_str(),
            "--tls-key-file",
            pem.as_str(),
            "--tls-ca-cert-file",
            authority.as_str(),
            "--tls-auth-clients",
            if clients.is_some() { "yes" } else { "no" },
        ];
        // A client of the authority, if the server asks for one.
        let own = clients.map(|clients| write("cli.pem", &clients.issue("redis-cli", 30).pem()));
        let mut cli = vec!["--tls", "--insecure"];
        if let Some(own) = &own {
            cli.extend(["--cert", own.as_str(), "--key", own.as_str()]);
        }
        Self::launch_in(directory, port, &arguments, &[], &cli)
    }

    /// Starts a sentinel with the settings that `write` puts into a file.
    #[must_use]
    pub fn sentinel(write: impl FnOnce(&Path)) -> Self {
        let (port, directory) = (free_port(), new_directory());
        let file = directory.join("sentinel.conf");
        write(&file);
        let arguments = vec!["--port".to_owned(), port.to_string()];
        let cli = Vec::new();
        let mut server =
            Self { child: None, port, directory, arguments, cli, sentinel: Some(file) };
        server.restart();
        server
    }

    fn launch(port: u16, first: &[&str], arguments: &[&str], cli: &[&str]) -> Self {
        Self::launch_in(new_directory(), port, first, arguments, cli)
    }

    fn launch_in(
        directory: PathBuf,
        port: u16,
        first: &[&str],
        arguments: &[&str],
        cli: &[&str],
    ) -> Self {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let mut server = Self {
            child: None,
            port,
            directory,
            arguments: [own(first), own(&KEEPS_NOTHING), own(arguments)].concat(),
            cli: own(cli),
            sentinel: None,
        };
        server.restart();
        server
    }

    /// Starts the server again, after [`Server::kill`].
    pub fn restart(&mut self) {
        assert!(self.child.is_none());
        let program = if self.sentinel.is_some() { "redis-sentinel" } else { "redis-server" };
        let child = Command::new(program)
            .args(&self.sentinel)
            .args(["--bind", "127.0.0.1", "--daemonize", "no", "--logfile", "log", "--dir"])
            .arg(&self.directory)
            .args(&self.arguments)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}: install the package {program}"));
        self.child = Some(child);
        self.wait_for("PONG", &["PING"]);
    }

    /// Ends the server at once, without saving anything.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops the process: the system still accepts connections, and nothing is answered.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Continues after [`Server::pause`].
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Returns its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs a command. Returns what Redis answers.
    pub fn run(&self, command: &[&str]) -> String {
        let output = self.cli(command);
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn cli(&self, command: &[&str]) -> Output {
        Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(&self.cli)
            .args(command)
            .output()
            .expect("redis-cli is missing: install the package redis-server")
    }

    /// Runs a command until its answer contains the text.
    pub fn wait_for(&self, text: &str, command: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.cli(command);
            if String::from_utf8_lossy(&output.stdout).contains(text) {
                return;
            }
            let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{command:?}: {output:?}\n{log}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Writes the markers of a server that has run for a long time, so that proofs of now are accepted.
    pub fn remember_long(&self) {
        let info = self.run(&["INFO", "server"]);
        let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap();
        let script = "for bucket = 0, 63 do \
                      redis.call('SET', 'oauth2-actix:dpop:{' .. bucket .. '}:since', ARGV[1] .. ':0') end";
        self.run(&["EVAL", script, "0", run_id.trim_end()]);
    }

    /// Returns the directory with its files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Returns a port that no program listens on, and whose port of a Cluster's bus is valid.
#[must_use]
pub fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        if port < 55_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}

fn new_directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name =
        format!("oauth2-redis-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
    let directory = std::env::temp_dir().join(name);
    fs::create_dir_all(&directory).unwrap();
    directory
}

const KEEPS_NOTHING: [&str; 4] = ["--save", "", "--appendonly", "no"];
