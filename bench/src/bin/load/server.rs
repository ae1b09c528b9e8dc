//! The APIs that are compared, each as a process of its own on one core.

use std::{
    env,
    io::{self, BufRead, BufReader, Read},
    net::{SocketAddr, TcpListener},
    process::{self, Child, ChildStdin, Command, Stdio},
    thread,
};

use actix_web::{App, HttpServer, get, rt::System};
use oauth2_actix::{OAuth2, Provider, TokenCacheConfig};

use crate::{
    by_hand::Bearer,
    cores,
    tokens::{AUDIENCE, ISSUER, Tokens},
};

/// An API with one route, and its middleware.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Contender {
    /// No middleware.
    Plain,
    /// A middleware on `jsonwebtoken`.
    ByHand,
    /// `OAuth2` with its defaults.
    Ours,
    /// `OAuth2` without the token cache.
    OursWithoutCache,
}

impl Contender {
    pub(crate) const ALL: [Self; 4] =
        [Self::Plain, Self::ByHand, Self::Ours, Self::OursWithoutCache];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::ByHand => "by hand",
            Self::Ours => "ours",
            Self::OursWithoutCache => "ours, no cache",
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::OursWithoutCache)
    }

    /// Returns whether tokens are cached.
    pub(crate) fn caches(self) -> bool {
        self == Self::Ours
    }
}

/// A running API.
pub(crate) struct Server {
    process: Child,
    /// The process ends when this is closed.
    stdin: Option<ChildStdin>,
    address: SocketAddr,
}

impl Server {
    pub(crate) fn start(contender: Contender, tokens: &Tokens) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args([CHILD, contender.name(), tokens.algorithm.name(), &tokens.jwk_set])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = process.stdin.take();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, stdin, address: line.trim().parse().unwrap() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.process.wait();
    }
}

/// Runs in the child process: prints its address, and serves.
pub(crate) fn child(arguments: &[String]) {
    let [name, algorithm, jwk_set] = arguments else { panic!("NAME ALGORITHM JWK-SET") };
    cores::pin_to(cores::SERVER);
    let contender = Contender::ALL.into_iter().find(|contender| contender.name() == *name).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    println!("{}", listener.local_addr().unwrap());
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    System::new()
        .block_on(async {
            match contender {
                Contender::Plain => {
                    let app = || App::new().service(answer);
                    HttpServer::new(app).workers(1).listen(listener).unwrap().run()
                }
                Contender::ByHand => {
                    let algorithm = algorithm.parse().unwrap();
                    let bearer = Bearer::new(jwk_set, algorithm, ISSUER, AUDIENCE);
                    let app = move || App::new().service(answer).wrap(bearer.clone());
                    HttpServer::new(app).workers(1).listen(listener).unwrap().run()
                }
                Contender::Ours | Contender::OursWithoutCache => {
                    let caches = contender.caches();
                    let cache =
                        if caches { TokenCacheConfig::new() } else { TokenCacheConfig::disabled() };
                    let oauth2 = policy(jwk_set, cache);
                    let app = move || App::new().service(answer).wrap(oauth2.clone());
                    HttpServer::new(app).workers(1).listen(listener).unwrap().run()
                }
            }
            .await
        })
        .unwrap();
}

fn policy(jwk_set: &str, cache: TokenCacheConfig) -> OAuth2 {
    let provider = Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(jwk_set);
    OAuth2::builder().provider("idp", provider).token_cache(cache).build().unwrap()
}

#[get("/")]
async fn answer() -> &'static str {
    ANSWER
}

/// The response of every API.
pub(crate) const ANSWER: &str = "ok";
/// The first argument of a child process.
pub(crate) const CHILD: &str = "load-child";
