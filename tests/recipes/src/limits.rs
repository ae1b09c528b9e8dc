use std::net::IpAddr;

use actix_web::{
    HttpResponse,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::RETRY_AFTER,
    middleware::Next,
    web,
};
use governor::DefaultKeyedRateLimiter;
use oauth2_actix::Claims;

/// By issuer and subject, because a subject is unique only within its issuer.
type PerUser = DefaultKeyedRateLimiter<(String, String)>;

/// For the scope of the private routes, because it needs claims.
async fn limit_users(
    claims: Claims,
    limits: web::Data<PerUser>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> actix_web::Result<ServiceResponse<EitherBody<impl MessageBody, BoxBody>>> {
    let user = (claims.issuer().to_owned(), claims.subject().unwrap_or_default().to_owned());
    match limits.check_key(&user) {
        Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
        Err(_) => Ok(too_many(request).map_into_right_body()),
    }
}

type PerAddress = DefaultKeyedRateLimiter<IpAddr>;

/// For the App, after `OAuth2`. It also counts invalid tokens.
async fn limit_addresses(
    limits: web::Data<PerAddress>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> actix_web::Result<ServiceResponse<EitherBody<impl MessageBody, BoxBody>>> {
    // Behind a proxy this is the proxy's address: use the header that the proxy sets, and no other.
    let address = request.peer_addr().map(|address| address.ip());
    match address.map(|address| limits.check_key(&address)) {
        None | Some(Ok(())) => Ok(next.call(request).await?.map_into_left_body()),
        Some(Err(_)) => Ok(too_many(request).map_into_right_body()),
    }
}

fn too_many(request: ServiceRequest) -> ServiceResponse {
    let response = HttpResponse::TooManyRequests().insert_header((RETRY_AFTER, "1")).finish();
    request.into_response(response)
}

mod tests {
    use std::num::NonZeroU32;

    use actix_web::{App, get, middleware::from_fn, test};
    use governor::Quota;
    use oauth2_actix::public;
    use serde_json::json;

    use super::*;
    use crate::kit;

    #[public]
    #[get("/health")]
    async fn health() -> &'static str {
        "up"
    }

    #[get("/orders")]
    async fn orders() -> &'static str {
        "orders"
    }

    #[actix_web::test]
    async fn users_and_addresses_over_their_limit_get_429() {
        // One request an hour for a user, three for an address.
        let users = web::Data::new(PerUser::keyed(Quota::per_hour(NonZeroU32::MIN)));
        let three = NonZeroU32::new(3).expect("not zero");
        let addresses = web::Data::new(PerAddress::keyed(Quota::per_hour(three)));
        let oauth2 = kit::oauth2();
        let app = test::init_service(
            App::new()
                .wrap(oauth2.clone())
                .wrap(from_fn(limit_addresses))
                .app_data(users.clone())
                .app_data(addresses.clone())
                .service(health)
                .service(web::scope("").wrap(from_fn(limit_users)).service(orders)),
        )
        .await;
        let address = "192.0.2.1:4000".parse().expect("an address");
        let ann = || kit::get_as("/orders", &json!({"sub": "ann"})).peer_addr(address);
        let bob = kit::get_as("/orders", &json!({"sub": "bob"})).peer_addr(address);
        let public = kit::get("/health").peer_addr(address);
        for (request, status) in [(ann(), 200), (ann(), 429), (bob, 200), (public, 429)] {
            let response = test::call_service(&app, request.to_request()).await;
            assert_eq!(response.status(), status);
        }
    }
}
