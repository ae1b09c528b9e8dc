//! The program of `docs/revocation.md`.

use std::{error::Error, time::SystemTime};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, get, post, rt, web};
use oauth2_actix::{
    Claims, Keys, OAuth2, Provider, require_scope,
    revocation::{DenyList, Revocation, RevokeError},
    testing::IdentityProvider,
    ws::{self, Message},
};

/// Ends the token of the request.
#[post("/logout")]
async fn log_out(claims: Claims, oauth2: web::Data<OAuth2>) -> HttpResponse {
    answer(oauth2.revoke(Revocation::token(&claims)).await)
}

/// Ends every token of a user that was issued until now. What the provider issues later is accepted.
#[post("/users/{sub}/lock")]
#[require_scope("users:admin")]
async fn lock(claims: Claims, sub: web::Path<String>, oauth2: web::Data<OAuth2>) -> HttpResponse {
    let revocation = Revocation::subject(claims.issuer(), &sub).issued_before(SystemTime::now());
    answer(oauth2.revoke(revocation).await)
}

fn answer(revoked: Result<(), RevokeError>) -> HttpResponse {
    match revoked {
        Ok(()) => HttpResponse::NoContent().finish(),
        // The tokens may still work somewhere: say so, so that the caller tries again.
        Err(error) => HttpResponse::ServiceUnavailable().body(error.to_string()),
    }
}

/// A session that lasts for hours, and ends with its token.
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

    // For development. In production, Keycloak, Auth0, Okta, …
    let idp = IdentityProvider::start("api")?;

    let provider = Provider::new().issuer(idp.issuer()).audience("api").keys(Keys::discover());
    let oauth2 = OAuth2::builder()
        .provider("idp", provider)
        .key_refresh_minutes(30)
        .token_from_subprotocol()
        .deny_list(DenyList::new())
        .build()?;
    oauth2.warm_up().await?;

    let token = |sub, scope| idp.token().claim("sub", sub).claim("scope", scope).sign(&idp.key());
    let (ann, admin) = (token("ann", ""), token("root", "users:admin"));
    println!("node -e 'new WebSocket(\"ws://127.0.0.1:8080/echo\", [\"bearer\", \"{ann}\"])");
    println!("  .onclose = (end) => console.log(end.code, end.reason)'");
    println!(
        "curl -i -X POST -H 'Authorization: Bearer {admin}' http://127.0.0.1:8080/users/ann/lock"
    );

    HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(oauth2.clone()))
            .service(log_out)
            .service(lock)
            .service(echo)
            .wrap(oauth2.clone())
    })
    .bind("127.0.0.1:8080")?
    .run()
    .await?;
    Ok(())
}
