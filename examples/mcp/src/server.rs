//! The tools, the resource and the prompt. The rules of [`access`](crate::access) are checked before they run; a tool
//! that needs the claims of the request reads them from its context.

use oauth2_actix::Claims;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    handler::server::wrapper::{Json, Parameters},
    model::{
        ContentBlock, ListResourcesResult, PaginatedRequestParams, PromptMessage,
        ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Resource,
        ResourceContents, Role, ServerCapabilities, ServerConfig,
    },
    prompt, prompt_handler, prompt_router,
    schemars::{self, JsonSchema},
    service::RequestContext,
    tool, tool_handler, tool_router,
};
use rmcp_actix_web::transport::on_request_extensions;
use serde::{Deserialize, Serialize};

use crate::orders::{Order, Orders};

/// The URI of the resource.
pub const TERMS: &str = "orders://terms";

/// From which price on, in cents, an order is large.
const LARGE: u32 = 10_000;

/// The MCP server. A clone has the same orders.
#[derive(Clone, Debug, Default)]
pub struct OrdersServer {
    orders: Orders,
}

/// The user of a token.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WhoAmI {
    subject: Option<String>,
    client: Option<String>,
    scopes: Vec<String>,
}

/// A list of orders.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OrderList {
    orders: Vec<Order>,
}

/// The order that is meant.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OrderNumber {
    /// The number of the order.
    number: u32,
}

/// Returns the claims of the request's token.
fn claims(context: &RequestContext<RoleServer>) -> Result<&Claims, ErrorData> {
    on_request_extensions(&context.extensions)
        .and_then(|extensions| extensions.get::<Claims>())
        .ok_or_else(|| ErrorData::internal_error("the request has no claims", None))
}

#[tool_router]
impl OrdersServer {
    /// Returns the user, the client and the scopes of the token.
    #[tool(annotations(read_only_hint = true))]
    async fn whoami(&self, context: RequestContext<RoleServer>) -> Result<Json<WhoAmI>, ErrorData> {
        let claims = claims(&context)?;
        Ok(Json(WhoAmI {
            subject: claims.subject().map(str::to_owned),
            client: claims.client_id().map(str::to_owned),
            scopes: claims.scopes().map(str::to_owned).collect(),
        }))
    }

    /// Lists all orders. Requires the scope orders:read.
    #[tool(annotations(read_only_hint = true))]
    async fn list_orders(&self) -> Json<OrderList> {
        Json(OrderList { orders: self.orders.list() })
    }

    /// Refunds an order. Requires the scope refunds:write, and orders:admin for a large order.
    #[tool(annotations(destructive_hint = true, idempotent_hint = true))]
    async fn refund_order(
        &self,
        Parameters(OrderNumber { number }): Parameters<OrderNumber>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<Order>, ErrorData> {
        let unknown = || ErrorData::invalid_params(format!("there is no order {number}"), None);
        // The rules in front of the server know the tool, and not the order. A client does not log in again after this
        // error, as it does after a rejection by a rule.
        let is_large = self.orders.cents(number).ok_or_else(unknown)? > LARGE;
        if is_large && !claims(&context)?.has_scope("orders:admin") {
            return Err(ErrorData::invalid_request("large orders require orders:admin", None));
        }
        self.orders.refund(number).map(Json).ok_or_else(unknown)
    }
}

#[expect(missing_docs, reason = "the attribute adds public functions")]
#[prompt_router]
impl OrdersServer {
    /// Asks for a letter about a refund.
    #[prompt]
    async fn refund_letter(
        &self,
        Parameters(OrderNumber { number }): Parameters<OrderNumber>,
    ) -> Vec<PromptMessage> {
        let text = format!("Write a short letter to the customer: order {number} was refunded.");
        vec![PromptMessage::new(Role::User, ContentBlock::text(text))]
    }
}

#[tool_handler]
#[prompt_handler]
impl ServerHandler for OrdersServer {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_prompts()
            .build();
        ServerConfig::new(capabilities).with_instructions("Orders, and their refunds.")
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let terms = Resource::new(TERMS, "terms").with_mime_type("text/plain");
        Ok(ListResourcesResult::with_all_items(vec![terms]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        if request.uri != TERMS {
            let why = format!("there is no resource {}", request.uri);
            return Err(ErrorData::resource_not_found(why, None));
        }
        let text = ResourceContents::text("Refunds within 30 days.", TERMS);
        Ok(ReadResourceResult::new(vec![text]).into())
    }
}
