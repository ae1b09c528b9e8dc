//! The API under load: a real actix server behind a policy.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::{App, HttpServer, dev::Service, web};
use oauth2_actix::{
    Claims, OAuth2,
    testing::{LocalServer, SigningKey},
};
pub(crate) use oauth2_actix_bench::{AUDIENCE, ISSUER};
use oauth2_actix_tests::key_server::Answer;
use serde_json::{Value, json};

/// A running API with one private route.
pub(crate) struct Api {
    server: LocalServer,
    arrived: Arc<AtomicU64>,
}

impl Api {
    pub(crate) fn start(oauth2: &OAuth2) -> Self {
        let arrived = Arc::new(AtomicU64::new(0));
        let (oauth2, counted) = (oauth2.clone(), Arc::clone(&arrived));
        let server = LocalServer::start(move |listener| {
            let app = move || {
                let counted = Arc::clone(&counted);
                App::new()
                    .wrap(oauth2.clone())
                    .wrap_fn(move |request, service| {
                        counted.fetch_add(1, Ordering::Relaxed);
                        service.call(request)
                    })
                    .route("/", web::get().to(subject))
            };
            Ok(HttpServer::new(app).workers(2).listen(listener)?.run())
        })
        .unwrap();
        Self { server, arrived }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns the number of requests that have arrived, answered or not.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }
}

async fn subject(claims: Claims) -> String {
    claims.subject().unwrap_or("no subject").to_owned()
}

/// Returns the answer of a key server with these keys.
pub(crate) fn jwk_set<'a>(keys: impl IntoIterator<Item = &'a SigningKey>) -> Answer {
    let keys: Vec<Value> = keys.into_iter().map(SigningKey::public_jwk).collect();
    Answer::json(&json!({"keys": keys}))
}

/// Runs a future of a policy to its end. Panics after a minute.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), future).await.unwrap() })
}
