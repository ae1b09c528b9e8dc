//! Bodies of MCP requests: what `rmcp` would run is what the rules are applied to, and no other body passes.

use oauth2_actix::__fuzz;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, JsonRpcMessage, Reference,
};

pub fn run(data: &[u8]) {
    compare(data);
}

/// Returns whether both readers accept the body, so that there is something to compare.
pub fn compare(data: &[u8]) -> bool {
    let Some(calls) = __fuzz::mcp_calls(data) else { return false };
    let Ok(message) = serde_json::from_slice::<ClientJsonRpcMessage>(data) else { return false };
    let text = String::from_utf8_lossy(data);
    match expected(&message) {
        None => assert!(calls.is_empty(), "{text}: {calls:?}"),
        Some(expected) => {
            let [call] = &calls[..] else { panic!("{text}: {calls:?}") };
            assert_eq!(call.method, expected.method, "{text}");
            for target in &expected.targets {
                assert!(call.targets.contains(target), "{text}: {target} is not in {call:?}");
            }
            if !expected.is_custom {
                assert_eq!(call.targets.len(), expected.targets.len(), "{text}: {call:?}");
            }
        }
    }
    true
}

/// What `rmcp` runs.
#[derive(Debug)]
struct Expected {
    method: String,
    targets: Vec<String>,
    /// Whether the application gets the method and the parameters.
    is_custom: bool,
}

/// Returns what the service of a server gets. None for a response.
fn expected(message: &ClientJsonRpcMessage) -> Option<Expected> {
    let request = match message {
        JsonRpcMessage::Request(request) => &request.request,
        JsonRpcMessage::Notification(notification) => {
            let method = method_of(&notification.notification);
            return Some(Expected { method, targets: Vec::new(), is_custom: true });
        }
        JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => return None,
    };
    let targets = match request {
        ClientRequest::CallToolRequest(it) => vec![format!("tool {}", it.params.name)],
        ClientRequest::GetPromptRequest(it) => vec![format!("prompt {}", it.params.name)],
        ClientRequest::ReadResourceRequest(it) => vec![format!("resource {}", it.params.uri)],
        ClientRequest::SubscribeRequest(it) => vec![format!("resource {}", it.params.uri)],
        ClientRequest::UnsubscribeRequest(it) => vec![format!("resource {}", it.params.uri)],
        ClientRequest::ReadResourceDirectoryRequest(it) => {
            vec![format!("resource {}", it.params.uri)]
        }
        ClientRequest::GetSkillRequest(it) => vec![format!("resource {}", it.params.uri)],
        ClientRequest::CompleteRequest(it) => match &it.params.r#ref {
            Reference::Prompt(prompt) => vec![format!("prompt {}", prompt.name)],
            Reference::Resource(resource) => vec![format!("template {}", resource.uri)],
            other => panic!("unknown reference: {other:?}"),
        },
        ClientRequest::SubscriptionsListenRequest(it) => {
            let uris = it.params.notifications.resource_subscriptions.as_deref();
            uris.unwrap_or_default().iter().map(|uri| format!("resource {uri}")).collect()
        }
        _ => Vec::new(),
    };
    let is_custom = matches!(request, ClientRequest::CustomRequest(_));
    Some(Expected { method: request.method().to_owned(), targets, is_custom })
}

/// Returns the method of a notification.
fn method_of(notification: &ClientNotification) -> String {
    let text = serde_json::to_value(notification).expect("JSON");
    text["method"].as_str().expect("a method").to_owned()
}
