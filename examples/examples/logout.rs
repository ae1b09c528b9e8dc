//! Ends the sessions of users who log out at their identity provider: back-channel logout. See `docs/revocation.md`.
//!
//! Without arguments, the program has an identity provider of its own and prints what to try. With an issuer and a client
//! id, it serves for that provider, whose access tokens have a `sid`.

use std::{
    env,
    error::Error,
    io::{self, Write},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, get, rt, web};
use oauth2_actix::{
    Claims, Keys, OAuth2, Provider,
    logout::BackchannelLogout,
    revocation::DenyList,
    testing::{IdentityProvider, Token},
    ws::{self, Message},
};

#[get("/me")]
async fn me(claims: Claims) -> String {
    claims.subject().unwrap_or("an unnamed user").to_owned()
}

/// A session that lasts for hours, and ends with the login.
#[get("/echo")]
async fn echo(request: HttpRequest, body: web::Payload) -> Result<HttpResponse, actix_web::Error> {
    let (response, mut session, mut messages) = ws::upgrade(&request, body).start()?;
    rt::spawn(async move {
        while let Some(Ok(Message::Text(text))) = messages.recv().await {
            if session.text(text).await.is_err() {
                break;
            }
        }
    });
    Ok(response)
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("info,oauth2_actix=debug").init();
    let mut arguments = env::args().skip(1);
    // For development. In production, Keycloak, Auth0, Okta, …
    let idp = IdentityProvider::start("https://api.example.test")?;
    let issuer = arguments.next().unwrap_or_else(|| idp.issuer().to_owned());
    let client_id = arguments.next().unwrap_or_else(|| "web-app".to_owned());

    let provider =
        Provider::new().issuer(&issuer).audience("https://api.example.test").keys(Keys::discover());
    let oauth2 = OAuth2::builder()
        .provider("idp", provider)
        .key_refresh_minutes(30)
        .token_from_subprotocol()
        .deny_list(DenyList::new())
        .backchannel_logout(BackchannelLogout::new().client("idp", &client_id))
        .build()?;
    oauth2.warm_up().await?;

    let app = {
        let oauth2 = oauth2.clone();
        move || {
            App::new()
                .service(oauth2.logout_receivers())
                .service(me)
                .service(echo)
                .wrap(oauth2.clone())
        }
    };
    let port = arguments.next().map_or(Ok(8080), |port| port.parse::<u16>())?;
    let server = HttpServer::new(app).bind(("127.0.0.1", port))?;
    let address = server.addrs()[0];
    println!("listening on http://{address}");
    if issuer == idp.issuer() {
        let ann = idp.token().claim("sub", "ann").claim("sid", "s-1").sign(&idp.key());
        let logout = Token::new(idp.issuer(), &client_id)
            .header("typ", "logout+jwt")
            .claim("jti", "logout-1")
            .claim("sid", "s-1")
            .claim("events", logout_event())
            .sign(&idp.key());
        println!("node -e 'new WebSocket(\"ws://{address}/echo\", [\"bearer\", \"{ann}\"])");
        println!("  .onclose = (end) => console.log(end.code, end.reason)'");
        println!("curl -i -d logout_token={logout} http://{address}/backchannel-logout");
    }
    io::stdout().flush()?;
    server.run().await?;
    Ok(())
}

fn logout_event() -> serde_json::Value {
    serde_json::json!({"http://schemas.openid.net/event/backchannel-logout": {}})
}
