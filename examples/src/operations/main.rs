//! Routes for operators: health, the state of all keys as JSON and on a page, a manual refresh, and tenants
//! that are looked up. The start fails if there are no keys. `cargo run --bin operations`, without network.

use std::{
    collections::HashMap, error::Error, io, net::TcpListener, process::ExitCode, time::Duration,
};

use actix_cors::Cors;
use actix_web::{App, HttpResponse, HttpServer, get, http::header::AUTHORIZATION, post, web};
use oauth2_actix::{
    Claims, Keys, OAuth2, Provider, public, require,
    tenants::{Tenant, TenantLookup, Tenants},
    testing::IdentityProvider,
};
use oauth2_actix_examples::{pages::Issuer, program};
use serde_json::json;

mod page;

const AUDIENCE: &str = "operations-api";
const OWN: &str = "own";
const USAGE: &str = "usage: cargo run --bin operations -- [--port PORT]";

/// For a liveness probe: the process runs. Ignores providers, because a restart does not end their outage.
#[public]
#[get("/health/live")]
async fn live() -> &'static str {
    "up"
}

/// For a readiness probe: tokens can be verified. Returns no details, because the route is public.
#[public]
#[get("/health/ready")]
async fn ready(oauth2: web::Data<OAuth2>) -> HttpResponse {
    if oauth2.is_ready() {
        HttpResponse::Ok().body("ready")
    } else {
        HttpResponse::ServiceUnavailable().body("not ready")
    }
}

/// Checks the provider and the scope, because a customer's provider can put any scope into its tokens.
fn is_operator(claims: &Claims) -> bool {
    claims.provider() == OWN && claims.has_scope("operations")
}

/// Returns the state of all keys to operators.
#[get("/status")]
#[require(is_operator)]
async fn status(oauth2: web::Data<OAuth2>) -> HttpResponse {
    HttpResponse::Ok().json(oauth2.key_status())
}

/// Fetches all keys now, for example after a key was stolen.
#[post("/refresh")]
#[require(is_operator)]
async fn refresh(oauth2: web::Data<OAuth2>) -> HttpResponse {
    match oauth2.refresh_keys().await {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(error) => HttpResponse::BadGateway().json(json!({"error": error.to_string()})),
    }
}

#[get("/me")]
async fn me(claims: Claims) -> HttpResponse {
    HttpResponse::Ok().json(json!({"tenant": claims.provider(), "subject": claims.subject()}))
}

/// The customers with their own identity providers, by issuer. Replaces a database.
struct Customers(HashMap<String, &'static str>);

impl TenantLookup for Customers {
    async fn find_by_issuer(
        &self,
        issuer: &str,
    ) -> Result<Option<Tenant>, Box<dyn Error + Send + Sync>> {
        // Compares the whole issuer, because any client can send a token with any issuer.
        Ok(self.0.get(issuer).map(|name| {
            let provider = Provider::new().issuer(issuer).audience(AUDIENCE).keys(Keys::discover());
            Tenant::new(*name, provider)
        }))
    }
}

#[actix_web::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("operations: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    program::start_log()?;
    let (port, rest) = program::port_and_rest(std::env::args().skip(1))
        .map_err(|error| format!("{error}; {USAGE}"))?;
    if let Some(argument) = rest.first() {
        return Err(format!("unexpected argument {argument:?}; {USAGE}").into());
    }

    // The API's own identity provider, and that of a customer.
    let own = start_own_provider()?;
    let customer = IdentityProvider::start(AUDIENCE)?;
    let customers = Customers(HashMap::from([(customer.issuer().to_owned(), "acme")]));

    let oauth2 = OAuth2::builder()
        .provider(
            OWN,
            Provider::new().issuer(own.issuer()).audience(AUDIENCE).keys(Keys::discover()),
        )
        .tenants(Tenants::new(customers).lifetime(Duration::from_secs(60)))
        .key_refresh_minutes(5)
        .stale_window(Duration::from_secs(6 * 60 * 60))
        .leeway(Duration::from_secs(30))
        .build()?;
    // Does not start without keys, because every token would be rejected.
    oauth2.warm_up().await?;

    let state = web::Data::new(oauth2.clone());
    let issuer = web::Data::new(Issuer(own.issuer().to_owned()));
    let server = HttpServer::new(move || {
        App::new()
            .wrap(oauth2.clone())
            .app_data(state.clone())
            .app_data(issuer.clone())
            .configure(page::configure)
            .service(live)
            .service(ready)
            .service(status)
            .service(refresh)
            .service(me)
    })
    .workers(2)
    .bind(("127.0.0.1", port))
    .map_err(|error| format!("port {port}: {error}"))?;
    for address in server.addrs() {
        print_lines(&format!("http://{address}"), own.issuer(), customer.issuer());
    }
    server.run().await?;
    Ok(())
}

/// Starts the API's own provider on a free port, with CORS, because the status page gets a token from it.
fn start_own_provider() -> io::Result<IdentityProvider> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let provider = IdentityProvider::new(&format!("http://{}", listener.local_addr()?), AUDIENCE);
    let served = provider.clone();
    let app = move || {
        let cors = Cors::default()
            .allowed_origin_fn(|origin, _| origin.as_bytes().starts_with(b"http://127.0.0.1:"))
            .allowed_methods(["POST"])
            .allowed_header(AUTHORIZATION);
        App::new().wrap(cors).configure(|config| served.configure(config))
    };
    actix_web::rt::spawn(HttpServer::new(app).workers(1).listen(listener)?.run());
    Ok(provider)
}

fn print_lines(api: &str, own: &str, customer: &str) {
    let token = |issuer: &str| {
        format!(
            "$(curl -s {issuer}/token -u quickstart:quickstart -d grant_type=client_credentials \
             -d scope=operations | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')"
        )
    };
    println!(
        r#"
The state of all keys, on a page:

    {api}/

or paste these lines:

TOKEN={}
ACME={}

curl -i {api}/health/live                                        # 200
curl -i {api}/health/ready                                       # 200
curl -i {api}/me -H "Authorization: Bearer $TOKEN"               # the API's own provider: 200
curl -i {api}/me -H "Authorization: Bearer $ACME"                # a customer's provider, looked up: 200
curl -i {api}/status -H "Authorization: Bearer $TOKEN"           # the state of all keys: 200
curl -i {api}/status -H "Authorization: Bearer $ACME"            # not for customers, with any scope: 403
curl -i -X POST {api}/refresh -H "Authorization: Bearer $TOKEN"  # fetch all keys now: 204

Ctrl-C ends it.
"#,
        token(own),
        token(customer)
    );
}
