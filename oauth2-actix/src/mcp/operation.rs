//! What a message asks the server to do.

use std::borrow::Cow;

use super::{
    message::{MAX_ITEMS, Members, TOO_MANY, VERSION_MEMBER, Value, member, parse},
    refusal::Refusal,
};

/// What the body of a request asks for.
#[derive(Debug)]
pub(super) enum Body<'a> {
    /// One request or notification.
    Call(Call<'a>),
    /// One response of the client.
    Response,
    /// A list of messages, with the requests and notifications among them.
    Batch(Vec<Call<'a>>),
}

/// A request or a notification.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) method: Cow<'a, str>,
    pub(super) targets: Vec<Target<'a>>,
    /// What `Mcp-Name` must be, if the request has this header.
    pub(super) name: Option<Cow<'a, str>>,
    /// The revision that `_meta` declares.
    pub(super) version: Option<Cow<'a, str>>,
}

/// What a call names.
#[derive(Debug, PartialEq)]
pub(super) enum Target<'a> {
    Tool(Cow<'a, str>),
    Prompt(Cow<'a, str>),
    Resource(Cow<'a, str>),
    /// The template of resources.
    Template(Cow<'a, str>),
    /// The name in a method that is not part of the protocol: a tool or a prompt.
    Named(Cow<'a, str>),
}

impl<'a> Body<'a> {
    /// Reads the body of a request.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Refusal> {
        match parse(body)? {
            Value::Object(message) => Ok(Call::read(message)?.map_or(Self::Response, Self::Call)),
            Value::Array(messages) if !messages.is_empty() => {
                let calls = messages.into_iter().filter_map(|message| match message {
                    Value::Object(message) => Call::read(message).transpose(),
                    _ => Some(Err(NO_MESSAGE)),
                });
                let calls: Vec<Call<'a>> = calls.collect::<Result<_, _>>()?;
                if calls.iter().map(|call| call.targets.len()).sum::<usize>() > MAX_ITEMS {
                    return Err(Refusal::Invalid(TOO_MANY));
                }
                Ok(Self::Batch(calls))
            }
            _ => Err(NO_MESSAGE),
        }
    }

    pub(super) fn calls(&self) -> &[Call<'a>] {
        match self {
            Self::Call(call) => std::slice::from_ref(call),
            Self::Response => &[],
            Self::Batch(calls) => calls,
        }
    }
}

impl<'a> Call<'a> {
    /// Reads a message. None if it is a response.
    fn read(mut message: Members<'a>) -> Result<Option<Self>, Refusal> {
        let has = |name| member(&message, name).is_some();
        if !matches!(member(&message, "jsonrpc"), Some(Value::Text(version)) if version == "2.0") {
            return Err(Refusal::Invalid("The message is not JSON-RPC 2.0."));
        }
        let is_id = |id: &Value<'_>| matches!(id, Value::Text(_) | Value::Other);
        match (has("method"), has("result"), has("error")) {
            (true, false, false) => {}
            (false, true, false) | (false, false, true) => return Ok(None),
            _ => return Err(NO_MESSAGE),
        }
        if member(&message, "id").is_some_and(|id| !is_id(id)) {
            return Err(Refusal::Invalid("The id of the message is not a string or a number."));
        }
        let mut take = |name| {
            let at = message.iter().position(|(known, _)| *known == name)?;
            Some(message.swap_remove(at).1)
        };
        let Some(Value::Text(method)) = take("method") else { return Err(NO_MESSAGE) };
        let params = match take("params") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Object(params)) => params,
            Some(_) => return Err(Refusal::Invalid("The parameters are not an object.")),
        };
        Self::of(method, &params).map(Some)
    }

    fn of(method: Cow<'a, str>, params: &Members<'a>) -> Result<Self, Refusal> {
        let version = match member(params, "_meta") {
            Some(Value::Object(meta)) => match member(meta, VERSION_MEMBER) {
                Some(Value::Text(version)) => Some(version.clone()),
                None | Some(Value::Null) => None,
                Some(_) => return Err(Refusal::Invalid("The protocol version is not a string.")),
            },
            _ => None,
        };
        let text = |name| match member(params, name) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let (targets, name) = match Source::of(&method) {
            Source::Tool => {
                let name = text("name").ok_or(NO_NAME)?;
                (vec![Target::Tool(name.clone())], Some(name))
            }
            Source::Prompt => {
                let name = text("name").ok_or(NO_NAME)?;
                (vec![Target::Prompt(name.clone())], Some(name))
            }
            Source::Resource => {
                let uri = text("uri").ok_or(NO_URI)?;
                (vec![Target::Resource(uri.clone())], Some(uri))
            }
            Source::Reference => (vec![reference(params)?.ok_or(NO_REFERENCE)?], None),
            Source::Subscriptions => (subscriptions(params)?, None),
            Source::Task => (Vec::new(), text("taskId")),
            Source::Nothing => (Vec::new(), None),
            Source::Unknown => {
                let name = text("name");
                let uri = text("uri");
                let targets = name
                    .clone()
                    .map(Target::Named)
                    .into_iter()
                    .chain(uri.clone().map(Target::Resource))
                    .chain(reference(params)?)
                    .chain(subscriptions(params)?)
                    .collect();
                (targets, name.or(uri))
            }
        };
        Ok(Self { method, targets, name, version })
    }
}

/// Where a method names what it acts on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    /// `params.name` is a tool.
    Tool,
    /// `params.name` is a prompt.
    Prompt,
    /// `params.uri` is a resource.
    Resource,
    /// `params.ref` is a prompt or a template of resources.
    Reference,
    /// `params.notifications.resourceSubscriptions` are resources.
    Subscriptions,
    /// `params.taskId` is a task, which has no rule of its own.
    Task,
    Nothing,
    /// The method is not part of the protocol.
    Unknown,
}

impl Source {
    pub(super) fn of(method: &str) -> Self {
        match method {
            "tools/call" => Self::Tool,
            "prompts/get" => Self::Prompt,
            "resources/read"
            | "resources/subscribe"
            | "resources/unsubscribe"
            | "resources/directory/read"
            | "skills/get" => Self::Resource,
            "completion/complete" => Self::Reference,
            "subscriptions/listen" => Self::Subscriptions,
            "tasks/get" | "tasks/result" | "tasks/update" | "tasks/cancel" => Self::Task,
            "initialize"
            | "server/discover"
            | "ping"
            | "logging/setLevel"
            | "tools/list"
            | "prompts/list"
            | "resources/list"
            | "resources/templates/list"
            | "tasks/list"
            | "skills/list"
            | "notifications/initialized"
            | "notifications/cancelled"
            | "notifications/progress"
            | "notifications/roots/list_changed" => Self::Nothing,
            _ => Self::Unknown,
        }
    }
}

/// Returns what `ref` refers to. None if there is none.
fn reference<'a>(params: &Members<'a>) -> Result<Option<Target<'a>>, Refusal> {
    let reference = match member(params, "ref") {
        None => return Ok(None),
        Some(Value::Object(reference)) => reference,
        Some(_) => return Err(NO_REFERENCE),
    };
    let text = |name| match member(reference, name) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    };
    match text("type").as_deref() {
        Some("ref/prompt") => Ok(Some(Target::Prompt(text("name").ok_or(NO_REFERENCE)?))),
        Some("ref/resource") => Ok(Some(Target::Template(text("uri").ok_or(NO_REFERENCE)?))),
        _ => Err(NO_REFERENCE),
    }
}

/// Returns the resources whose updates a stream would have.
fn subscriptions<'a>(params: &Members<'a>) -> Result<Vec<Target<'a>>, Refusal> {
    const NO_LIST: Refusal = Refusal::Invalid("The subscriptions are not a list of URIs.");
    let filter = match member(params, "notifications") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(filter)) => filter,
        Some(_) => return Err(NO_LIST),
    };
    let uris = match member(filter, "resourceSubscriptions") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(uris)) => uris,
        Some(_) => return Err(NO_LIST),
    };
    let target = |uri: &Value<'a>| match uri {
        Value::Text(uri) => Ok(Target::Resource(uri.clone())),
        _ => Err(NO_LIST),
    };
    uris.iter().map(target).collect()
}

const NO_MESSAGE: Refusal = Refusal::Invalid("The body is not a JSON-RPC message.");
const NO_NAME: Refusal = Refusal::Invalid("The name is missing or not a string.");
const NO_URI: Refusal = Refusal::Invalid("The URI is missing or not a string.");
const NO_REFERENCE: Refusal = Refusal::Invalid("The reference names no prompt and no resource.");

#[cfg(test)]
mod tests {
    use super::*;

    fn message(method: &str, params: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
    }

    #[test]
    fn targets_are_found_where_the_method_names_them() {
        let text = |text: &'static str| Cow::Borrowed(text);
        for (method, params, targets) in [
            ("tools/call", r#"{"name":"a"}"#, vec![Target::Tool(text("a"))]),
            ("prompts/get", r#"{"name":"a","uri":"b"}"#, vec![Target::Prompt(text("a"))]),
            ("resources/read", r#"{"uri":"a","name":"b"}"#, vec![Target::Resource(text("a"))]),
            ("resources/subscribe", r#"{"uri":"a"}"#, vec![Target::Resource(text("a"))]),
            ("resources/unsubscribe", r#"{"uri":"a"}"#, vec![Target::Resource(text("a"))]),
            ("resources/directory/read", r#"{"uri":"a"}"#, vec![Target::Resource(text("a"))]),
            (
                "completion/complete",
                r#"{"ref":{"type":"ref/prompt","name":"a","uri":"b"}}"#,
                vec![Target::Prompt(text("a"))],
            ),
            (
                "completion/complete",
                r#"{"ref":{"type":"ref/resource","name":"a","uri":"b"}}"#,
                vec![Target::Template(text("b"))],
            ),
            (
                "subscriptions/listen",
                r#"{"notifications":{"resourceSubscriptions":["a","b"]}}"#,
                vec![Target::Resource(text("a")), Target::Resource(text("b"))],
            ),
            ("subscriptions/listen", r#"{"notifications":{}}"#, vec![]),
            ("tools/list", r#"{"name":"a"}"#, vec![]),
            ("tasks/get", r#"{"taskId":"a"}"#, vec![]),
            ("ping", "null", vec![]),
            (
                "tools/run",
                r#"{"name":"a","uri":"b"}"#,
                vec![Target::Named(text("a")), Target::Resource(text("b"))],
            ),
            ("tools/run", r#"{"name":1}"#, vec![]),
        ] {
            let body = message(method, params);
            let body = Body::read(body.as_bytes()).expect(method);
            let [call] = body.calls() else { panic!("{body:?}") };
            assert_eq!((&*call.method, &call.targets), (method, &targets), "{params}");
        }
    }

    #[test]
    fn message_that_names_no_operation_is_refused() {
        for body in [
            "null",
            "1",
            "\"tools/call\"",
            "[]",
            "[1]",
            "[[]]",
            "{}",
            r#"{"method":"ping"}"#,
            r#"{"jsonrpc":"1.0","method":"ping"}"#,
            r#"{"jsonrpc":2.0,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":[],"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","method":null}"#,
            r#"{"jsonrpc":"2.0","method":["ping"]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","error":null}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0"}]"#,
            &message("tools/call", "null"),
            &message("tools/call", "[]"),
            &message("tools/call", "{}"),
            &message("tools/call", r#"["refund"]"#),
            &message("tools/call", r#"{"name":null}"#),
            &message("tools/call", r#"{"name":["refund"]}"#),
            &message("tools/call", r#"{"Name":"refund"}"#),
            &message("resources/read", r#"{"name":"a"}"#),
            &message("completion/complete", r#"{"ref":["ref/prompt","a"]}"#),
            &message("completion/complete", r#"{"ref":{"type":1,"name":"a"}}"#),
            &message("completion/complete", r#"{"ref":{"name":"a"}}"#),
            &message("completion/complete", "{}"),
            &message("subscriptions/listen", r#"{"notifications":{"resourceSubscriptions":"a"}}"#),
            &message("subscriptions/listen", r#"{"notifications":{"resourceSubscriptions":[1]}}"#),
            &message("ping", "[]"),
            &message("ping", &format!(r#"{{"_meta":{{"{VERSION_MEMBER}":1}}}}"#)),
        ] {
            assert!(matches!(Body::read(body.as_bytes()), Err(Refusal::Invalid(_))), "{body}");
        }
    }

    #[test]
    fn batch_has_the_calls_of_all_messages() {
        let body = format!(
            r#"[{},{{"jsonrpc":"2.0","id":2,"result":{{}}}},{{"jsonrpc":"2.0","method":"x"}}]"#,
            message("tools/call", r#"{"name":"a"}"#)
        );
        let body = Body::read(body.as_bytes()).expect("a batch");
        let methods: Vec<_> = body.calls().iter().map(|call| &*call.method).collect();
        assert_eq!(methods, ["tools/call", "x"]);
    }
}
