//! A server with what the scenarios of the MCP conformance suite call, for the end-to-end tests. It is configured as
//! the example is, by environment variables, and has its policy: each scenario runs with a token.

#![expect(
    deprecated,
    reason = "the scenarios of earlier revisions use what the current one has deprecated"
)]

use std::{error::Error, time::Duration};

use mcp_orders::{serve, settings::Settings};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestParams,
        CompleteResult, ContentBlock, CreateMessageRequestParams, ElicitRequestParams,
        GetPromptRequestParams, GetPromptResponse, GetPromptResult, ListPromptsResult,
        ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, LoggingLevel,
        LoggingMessageNotificationParam, PaginatedRequestParams, ProgressNotificationParam,
        ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, SamplingMessage,
        ServerCapabilities, ServerConfig, SetLevelRequestParams, SubscribeRequestParams,
        UnsubscribeRequestParams,
    },
    service::RequestContext,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
/// A sound without samples.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=";
/// Between two notifications, so that they are sent one by one.
const STEP: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug)]
struct Conformance;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    serve(Settings::read(|name| std::env::var(name).ok())?, Conformance).await
}

type Context = RequestContext<RoleServer>;

/// Reads a result of the protocol from JSON.
fn result<T: DeserializeOwned>(mut value: Value) -> Result<T, ErrorData> {
    // Required since 2026-07-28; `rmcp` leaves it out for earlier revisions.
    value["resultType"] = json!("complete");
    serde_json::from_value(value).map_err(internal)
}

fn internal(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

fn argument<'a>(arguments: &'a Value, name: &str) -> &'a str {
    arguments[name].as_str().unwrap_or_default()
}

impl ServerHandler for Conformance {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_prompts()
            .enable_completions()
            .enable_logging()
            .build();
        ServerConfig::new(capabilities)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        let plain = [
            "test_simple_text",
            "test_image_content",
            "test_audio_content",
            "test_embedded_resource",
            "test_multiple_content_types",
            "test_tool_with_logging",
            "test_tool_with_progress",
            "test_error_handling",
            "test_elicitation_sep1034_defaults",
            "test_elicitation_sep1330_enums",
        ];
        let with_argument = [("test_sampling", "prompt"), ("test_elicitation", "message")];
        let mut tools: Vec<Value> =
            plain.iter().map(|name| tool(name, json!({"type": "object"}))).collect();
        tools.extend(with_argument.iter().map(|(name, argument)| {
            let properties = json!({*argument: {"type": "string"}});
            let schema =
                json!({"type": "object", "properties": properties, "required": [argument]});
            tool(name, schema)
        }));
        let address = json!({
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        });
        tools.push(tool(
            "json_schema_2020_12_tool",
            json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "$defs": {"address": address},
                "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
                "additionalProperties": false,
            }),
        ));
        result(json!({"tools": tools}))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let content = match request.name.as_ref() {
            "test_simple_text" => json!([text("This is a simple text response for testing.")]),
            "test_image_content" => json!([image()]),
            "test_audio_content" => {
                json!([{"type": "audio", "data": WAV, "mimeType": "audio/wav"}])
            }
            "test_embedded_resource" => {
                let content = "This is an embedded resource content.";
                json!([embedded("test://embedded-resource", "text/plain", content)])
            }
            "test_multiple_content_types" => json!([
                text("Multiple content types test:"),
                image(),
                embedded(
                    "test://mixed-content-resource",
                    "application/json",
                    r#"{"test":"data","value":123}"#,
                ),
            ]),
            "test_error_handling" => {
                let text =
                    ContentBlock::text("This tool intentionally returns an error for testing");
                return Ok(CallToolResult::error(vec![text]).into());
            }
            "test_tool_with_logging" => {
                log(&context).await?;
                json!([text("All messages were sent.")])
            }
            "test_tool_with_progress" => {
                progress(&context).await?;
                json!([text("All progress was sent.")])
            }
            "test_sampling" => {
                let message = SamplingMessage::user_text(argument(&arguments, "prompt"));
                let answer = context
                    .peer
                    .create_message(CreateMessageRequestParams::new(vec![message], 100))
                    .await
                    .map_err(internal)?;
                let answer = serde_json::to_value(answer).map_err(internal)?;
                json!([text(&format!("LLM response: {}", answer["content"]["text"]))])
            }
            name @ ("test_elicitation"
            | "test_elicitation_sep1034_defaults"
            | "test_elicitation_sep1330_enums") => {
                let message = match name {
                    "test_elicitation" => argument(&arguments, "message"),
                    _ => "Please answer.",
                };
                let answer = elicit(&context, message, schema(name)).await?;
                json!([text(&answer)])
            }
            name => {
                let why = format!("there is no tool {name}");
                return Err(ErrorData::invalid_params(why, None));
            }
        };
        let done: CallToolResult = result(json!({"content": content}))?;
        Ok(done.into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        result(json!({"resources": [
            {"uri": "test://static-text", "name": "text", "mimeType": "text/plain"},
            {"uri": "test://static-binary", "name": "binary", "mimeType": "image/png"},
        ]}))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        result(json!({"resourceTemplates": [
            {"uriTemplate": "test://template/{id}/data", "name": "template"},
        ]}))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri;
        let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
        let content = match (uri.as_str(), id) {
            ("test://static-text", _) => json!({
                "uri": uri,
                "mimeType": "text/plain",
                "text": "This is the content of the static text resource.",
            }),
            ("test://static-binary", _) => {
                json!({"uri": uri, "mimeType": "image/png", "blob": PNG})
            }
            (_, Some(id)) => {
                let data =
                    json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
                json!({"uri": uri, "mimeType": "application/json", "text": data.to_string()})
            }
            _ => {
                let details = Some(json!({"uri": uri}));
                return Err(ErrorData::resource_not_found("there is no such resource", details));
            }
        };
        let done: ReadResourceResult = result(json!({"contents": [content]}))?;
        Ok(done.into())
    }

    async fn subscribe(&self, _: SubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(&self, _: UnsubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn set_level(&self, _: SetLevelRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: Context,
    ) -> Result<CompleteResult, ErrorData> {
        result(json!({"completion": {"values": ["paris", "park"], "total": 2, "hasMore": false}}))
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        let prompt = |name: &str, arguments: &[&str]| {
            let arguments: Vec<Value> =
                arguments.iter().map(|name| json!({"name": name, "required": true})).collect();
            json!({"name": name, "description": "For a scenario.", "arguments": arguments})
        };
        result(json!({"prompts": [
            prompt("test_simple_prompt", &[]),
            prompt("test_prompt_with_arguments", &["arg1", "arg2"]),
            prompt("test_prompt_with_embedded_resource", &["resourceUri"]),
            prompt("test_prompt_with_image", &[]),
        ]}))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        let arguments = serde_json::to_value(request.arguments).map_err(internal)?;
        let contents = match request.name.as_ref() {
            "test_simple_prompt" => vec![text("This is a simple prompt for testing.")],
            "test_prompt_with_arguments" => {
                let [one, two] = ["arg1", "arg2"].map(|name| argument(&arguments, name));
                vec![text(&format!("Prompt with arguments: arg1='{one}', arg2='{two}'"))]
            }
            "test_prompt_with_embedded_resource" => {
                let uri = argument(&arguments, "resourceUri");
                let content = "Embedded resource content for testing.";
                let ask = text("Please process the embedded resource above.");
                vec![embedded(uri, "text/plain", content), ask]
            }
            "test_prompt_with_image" => vec![image(), text("Please analyze the image above.")],
            name => {
                let why = format!("there is no prompt {name}");
                return Err(ErrorData::invalid_params(why, None));
            }
        };
        let message = |content: &Value| json!({"role": "user", "content": content});
        let messages: Vec<Value> = contents.iter().map(message).collect();
        let done: GetPromptResult = result(json!({"messages": messages}))?;
        Ok(done.into())
    }
}

fn tool(name: &str, schema: Value) -> Value {
    json!({"name": name, "description": "For a scenario.", "inputSchema": schema})
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn image() -> Value {
    json!({"type": "image", "data": PNG, "mimeType": "image/png"})
}

fn embedded(uri: &str, media_type: &str, text: &str) -> Value {
    json!({"type": "resource", "resource": {"uri": uri, "mimeType": media_type, "text": text}})
}

async fn log(context: &Context) -> Result<(), ErrorData> {
    for message in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
        let sent = context
            .peer
            .notify_logging_message(LoggingMessageNotificationParam::new(
                LoggingLevel::Info,
                json!(message),
            ))
            .await;
        sent.map_err(internal)?;
        tokio::time::sleep(STEP).await;
    }
    Ok(())
}

async fn progress(context: &Context) -> Result<(), ErrorData> {
    for step in [0.0, 50.0, 100.0] {
        if let Some(token) = context.meta.get_progress_token() {
            let progress = ProgressNotificationParam::new(token, step).with_total(100.0);
            context.peer.notify_progress(progress).await.map_err(internal)?;
        }
        tokio::time::sleep(STEP).await;
    }
    Ok(())
}

async fn elicit(context: &Context, message: &str, schema: Value) -> Result<String, ErrorData> {
    let request = json!({"mode": "form", "message": message, "requestedSchema": schema});
    let request: ElicitRequestParams = serde_json::from_value(request).map_err(internal)?;
    let answer = context.peer.create_elicitation(request).await.map_err(internal)?;
    let answer = serde_json::to_value(answer).map_err(internal)?;
    let action = argument(&answer, "action");
    Ok(format!("Elicitation completed: action={action}, content={}", answer["content"]))
}

fn schema(tool: &str) -> Value {
    let string = || json!({"type": "string"});
    match tool {
        "test_elicitation" => json!({
            "type": "object",
            "properties": {"username": string(), "email": string()},
            "required": ["username", "email"],
        }),
        "test_elicitation_sep1034_defaults" => json!({"type": "object", "properties": {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {
                "type": "string",
                "enum": ["active", "inactive", "pending"],
                "default": "active",
            },
            "verified": {"type": "boolean", "default": true},
        }}),
        _ => {
            let options = ["option1", "option2", "option3"];
            let titled = |title: &str| -> Vec<Value> {
                let option = |number: u8| {
                    let name = format!("value{number}");
                    json!({"const": name, "title": format!("{title} {number}")})
                };
                [1, 2, 3].map(option).into()
            };
            json!({"type": "object", "properties": {
                "untitledSingle": {"type": "string", "enum": options},
                "titledSingle": {"type": "string", "oneOf": titled("Option")},
                "legacyEnum": {
                    "type": "string",
                    "enum": ["opt1", "opt2", "opt3"],
                    "enumNames": ["Option One", "Option Two", "Option Three"],
                },
                "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
                "titledMulti": {"type": "array", "items": {"anyOf": titled("Choice")}},
            }})
        }
    }
}
