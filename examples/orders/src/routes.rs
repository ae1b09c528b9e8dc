//! The routes. In a guarded module, a handler without an access rule does not compile.

use actix_web::{HttpRequest, web};
use oauth2_actix::{Claims, guarded};

use crate::database::{Database, DatabaseError};

pub(crate) use self::api::*;

/// The caller is the user of the path, or an administrator.
fn is_self_or_admin(claims: &Claims, request: &HttpRequest) -> bool {
    claims.has_claim("role", "admin") || claims.subject() == request.match_info().get("subject")
}

/// The roles table of this service permits refunds.
async fn may_refund(claims: Claims, request: HttpRequest) -> Result<bool, DatabaseError> {
    let Some(database) = request.app_data::<web::Data<Database>>().cloned() else {
        return Ok(false);
    };
    database.has_role(claims.subject().unwrap_or_default().to_owned(), "refunds").await
}

#[guarded]
mod api {
    use actix_web::{HttpResponse, get, web};
    use oauth2_actix::{OAuth2, public};
    use utoipa::OpenApi;

    use crate::document::Document;

    #[public]
    #[utoipa::path(responses((status = 200, description = "The service is up.")))]
    #[get("/health")]
    pub(crate) async fn health() -> HttpResponse {
        HttpResponse::Ok().finish()
    }

    #[public]
    #[utoipa::path(responses((status = 200, description = "This document.", content_type = "application/json")))]
    #[get("/openapi.json")]
    pub(crate) async fn openapi(oauth2: web::Data<OAuth2>) -> HttpResponse {
        let mut document = Document::openapi();
        oauth2.add_security_to(&mut document);
        HttpResponse::Ok().json(document)
    }

    pub(crate) mod users {
        use actix_web::{HttpResponse, get, web};
        use oauth2_actix::{Principal, authenticated, require, require_claim};

        use super::super::is_self_or_admin;
        use crate::database::{Database, DatabaseError, User};

        #[authenticated]
        #[utoipa::path(responses((status = 200, description = "The caller.", body = User)))]
        #[get("/me")]
        pub(crate) async fn me(user: Principal<User>) -> HttpResponse {
            HttpResponse::Ok().json(&*user)
        }

        #[require_claim("role", "admin")]
        #[utoipa::path(responses((status = 200, description = "All users.", body = [User])))]
        #[get("/users")]
        pub(crate) async fn list(
            database: web::Data<Database>,
        ) -> Result<HttpResponse, DatabaseError> {
            Ok(HttpResponse::Ok().json(database.users().await?))
        }

        #[require(is_self_or_admin)]
        #[utoipa::path(responses(
            (status = 200, description = "A user.", body = User),
            (status = 404, description = "There is no such user."),
        ))]
        #[get("/users/{subject}")]
        pub(crate) async fn one(
            database: web::Data<Database>,
            subject: web::Path<String>,
        ) -> Result<HttpResponse, DatabaseError> {
            Ok(match database.user(subject.into_inner()).await? {
                Some((user, _)) => HttpResponse::Ok().json(user),
                None => HttpResponse::NotFound().finish(),
            })
        }
    }

    pub(crate) mod orders {
        use actix_web::{HttpResponse, delete, get, post, put, web};
        use oauth2_actix::require_scope;

        use crate::database::{Database, DatabaseError, NewOrder, Order};

        #[require_scope("orders:read")]
        #[utoipa::path(responses((status = 200, description = "At most 100 orders.", body = [Order])))]
        #[get("/orders")]
        pub(crate) async fn list(
            database: web::Data<Database>,
        ) -> Result<HttpResponse, DatabaseError> {
            Ok(HttpResponse::Ok().json(database.orders(false).await?))
        }

        #[require_scope("orders:read")]
        #[utoipa::path(responses(
            (status = 200, description = "An order.", body = Order),
            (status = 404, description = "There is no such order."),
        ))]
        #[get("/orders/{id}")]
        pub(crate) async fn one(
            database: web::Data<Database>,
            id: web::Path<i64>,
        ) -> Result<HttpResponse, DatabaseError> {
            Ok(match database.order(id.into_inner()).await? {
                Some(order) => HttpResponse::Ok().json(order),
                None => HttpResponse::NotFound().finish(),
            })
        }

        #[require_scope("orders:write")]
        #[utoipa::path(responses(
            (status = 201, description = "The new order.", body = Order),
            (status = 400, description = "The body is not an order, or the token is missing."),
        ))]
        #[post("/orders")]
        pub(crate) async fn create(
            database: web::Data<Database>,
            order: web::Json<NewOrder>,
        ) -> Result<HttpResponse, DatabaseError> {
            Ok(HttpResponse::Created().json(database.add(order.into_inner().item).await?))
        }

        #[require_scope("orders:write")]
        #[utoipa::path(responses(
            (status = 204, description = "The order is changed."),
            (status = 400, description = "The body is not an order, or the token is missing."),
            (status = 404, description = "There is no such order."),
        ))]
        #[put("/orders/{id}")]
        pub(crate) async fn replace(
            database: web::Data<Database>,
            id: web::Path<i64>,
            order: web::Json<NewOrder>,
        ) -> Result<HttpResponse, DatabaseError> {
            let is_known = database.replace(id.into_inner(), order.into_inner().item).await?;
            Ok(if is_known { HttpResponse::NoContent() } else { HttpResponse::NotFound() }.finish())
        }

        #[require_scope("orders:write", "orders:delete")]
        #[utoipa::path(responses(
            (status = 204, description = "The order is deleted."),
            (status = 404, description = "There is no such order."),
        ))]
        #[delete("/orders/{id}")]
        pub(crate) async fn delete(
            database: web::Data<Database>,
            id: web::Path<i64>,
        ) -> Result<HttpResponse, DatabaseError> {
            let was_known = database.remove(id.into_inner()).await?;
            Ok(if was_known { HttpResponse::NoContent() } else { HttpResponse::NotFound() }
                .finish())
        }
    }

    pub(crate) mod refunds {
        use actix_web::{HttpResponse, get, post, web};
        use oauth2_actix::{require, require_policy};

        use super::super::may_refund;
        use crate::database::{Database, DatabaseError, Order};

        #[require_policy("back-office")]
        #[utoipa::path(responses((status = 200, description = "Refunded orders.", body = [Order])))]
        #[get("/refunds")]
        pub(crate) async fn list(
            database: web::Data<Database>,
        ) -> Result<HttpResponse, DatabaseError> {
            Ok(HttpResponse::Ok().json(database.orders(true).await?))
        }

        #[require_policy("back-office")]
        #[require(may_refund)]
        #[utoipa::path(responses(
            (status = 204, description = "The order is refunded."),
            (status = 404, description = "There is no such order."),
        ))]
        #[post("/orders/{id}/refunds")]
        pub(crate) async fn create(
            database: web::Data<Database>,
            id: web::Path<i64>,
        ) -> Result<HttpResponse, DatabaseError> {
            let is_known = database.refund(id.into_inner()).await?;
            Ok(if is_known { HttpResponse::NoContent() } else { HttpResponse::NotFound() }.finish())
        }
    }
}
