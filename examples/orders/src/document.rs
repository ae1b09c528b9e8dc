//! The OpenAPI document. The table of access rules adds what each operation requires.

use utoipa::OpenApi;

use crate::routes;

/// The operations, without their security.
#[derive(Debug, OpenApi)]
#[openapi(
    info(title = "Orders", description = "Orders and refunds."),
    paths(
        routes::health,
        routes::openapi,
        routes::users::me,
        routes::users::list,
        routes::users::one,
        routes::orders::list,
        routes::orders::one,
        routes::orders::create,
        routes::orders::replace,
        routes::orders::delete,
        routes::refunds::list,
        routes::refunds::create,
    )
)]
pub(crate) struct Document;
