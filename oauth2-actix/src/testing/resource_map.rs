//! The resources that an app's router knows.
//!
//! actix has no way to list them. Their `Debug` output has all of them, and is read here: a value in Rust's own
//! notation of structs, lists, maps and texts.

use actix_web::dev::ResourceMap;

/// A resource of an app.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resource {
    /// The whole pattern, with the prefixes of its scopes.
    pub(super) pattern: String,
    /// The pattern without the prefixes, with a leading slash.
    pub(super) own: String,
    pub(super) name: Option<String>,
}

/// Returns the resources of an app. Empty if there are none, or their form is not the one that is known.
pub(super) fn resources(map: &ResourceMap) -> Vec<Resource> {
    let text = format!("{map:?}");
    let mut found = Vec::new();
    if let Some(root) = (Parser { rest: &text }).value() {
        collect(&root, "", &mut found);
    }
    found
}

fn collect(node: &Value, prefix: &str, found: &mut Vec<Resource>) {
    let Some(nodes) = node.member("nodes").and_then(Value::content) else { return };
    for child in nodes.items() {
        let Some(pattern) = child.member("pattern") else { continue };
        let is_scope = child.member("nodes").and_then(Value::content).is_some();
        let name = pattern.member("name").and_then(Value::content).and_then(Value::text);
        // A list of patterns, or one.
        let texts = pattern.member("patterns").map(texts).unwrap_or_default();
        for text in texts {
            let whole = format!("{prefix}{text}");
            if is_scope {
                collect(child, &whole, found);
            } else {
                let name = name.map(str::to_owned);
                found.push(Resource { pattern: whole, own: with_slash(text), name });
            }
        }
    }
}

/// Returns a pattern as actix registers it: a non-empty one gets a leading slash.
pub(super) fn with_slash(pattern: &str) -> String {
    if pattern.is_empty() || pattern.starts_with('/') {
        pattern.to_owned()
    } else {
        format!("/{pattern}")
    }
}

/// Returns all texts in a value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Text(text) => vec![text],
        Value::List(items) | Value::Tuple(items) => items.iter().flat_map(texts).collect(),
        Value::Struct(_) | Value::Other => Vec::new(),
    }
}

/// A value of `Debug` output.
enum Value {
    Text(String),
    List(Vec<Self>),
    Tuple(Vec<Self>),
    Struct(Vec<(String, Self)>),
    Other,
}

impl Value {
    fn member(&self, name: &str) -> Option<&Self> {
        let Self::Struct(members) = self else { return None };
        members.iter().find(|(member, _)| member == name).map(|(_, value)| value)
    }

    /// The content of `Some(…)`, and of any other tuple of one.
    fn content(&self) -> Option<&Self> {
        match self {
            Self::Tuple(items) => items.first(),
            _ => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn value(&mut self) -> Option<Value> {
        self.rest = self.rest.trim_start();
        match self.rest.chars().next()? {
            '"' => self.text().map(Value::Text),
            '[' => self.list('[', ']').map(Value::List),
            // A map or a set: only texts are looked for in it.
            '{' => self.members().map(|_| Value::Other),
            '(' => self.list('(', ')').map(Value::Tuple),
            _ => {
                let end =
                    self.rest.find(|c: char| "([{,:)]} \"".contains(c)).unwrap_or(self.rest.len());
                let word = &self.rest[..end];
                self.rest = &self.rest[end..];
                if self.rest.starts_with('(') && !word.is_empty() {
                    return self.list('(', ')').map(Value::Tuple);
                }
                if self.rest.starts_with(" {") {
                    self.rest = &self.rest[1..];
                    return self.members().map(Value::Struct);
                }
                (!word.is_empty()).then_some(Value::Other)
            }
        }
    }

    fn list(&mut self, open: char, close: char) -> Option<Vec<Value>> {
        self.rest = self.rest.strip_prefix(open)?;
        let mut items = Vec::new();
        loop {
            self.rest = self.rest.trim_start_matches([' ', ',']);
            if let Some(rest) = self.rest.strip_prefix(close) {
                self.rest = rest;
                return Some(items);
            }
            items.push(self.value()?);
        }
    }

    /// Parses the members of a struct or a map, whose names may be any values.
    fn members(&mut self) -> Option<Vec<(String, Value)>> {
        self.rest = self.rest.strip_prefix('{')?;
        let mut members = Vec::new();
        loop {
            self.rest = self.rest.trim_start_matches([' ', ',']);
            if let Some(rest) = self.rest.strip_prefix('}') {
                self.rest = rest;
                return Some(members);
            }
            let name = match self.rest.starts_with('"') {
                true => self.text()?,
                false => {
                    let end = self.rest.find([':', '}', ','])?;
                    let name = self.rest[..end].to_owned();
                    self.rest = &self.rest[end..];
                    name
                }
            };
            self.rest = self.rest.trim_start();
            match self.rest.strip_prefix(':') {
                Some(rest) => {
                    self.rest = rest;
                    members.push((name, self.value()?));
                }
                // An item of a set.
                None => members.push((name, Value::Other)),
            }
        }
    }

    /// Parses a text with escapes.
    fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(text);
                }
                '\\' => match characters.next()?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    '0' => text.push('\0'),
                    'u' => {
                        let code: String = characters
                            .by_ref()
                            .map(|(_, character)| character)
                            .skip(1)
                            .take_while(|character| *character != '}')
                            .collect();
                        text.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
                    }
                    other => text.push(other),
                },
                other => text.push(other),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{App, HttpResponse, get, test, web};

    use super::*;

    #[get("/named/{id:\\d+}", name = "other \"name\"")]
    async fn named() -> HttpResponse {
        HttpResponse::Ok().finish()
    }

    #[actix_web::test]
    async fn resources_of_all_scopes_are_found() {
        let app = App::new()
            .service(named)
            .route("/plain", web::get().to(HttpResponse::Ok))
            .service(web::resource(["/a", "/b\u{e9}"]).route(web::get().to(HttpResponse::Ok)))
            .service(web::scope("/one").service(
                web::scope("/{two}").service(named).route("", web::get().to(HttpResponse::Ok)),
            ));
        let app = test::init_service(app).await;
        let response =
            test::call_service(&app, test::TestRequest::with_uri("/x").to_request()).await;
        let found: Vec<_> = resources(response.request().resource_map())
            .into_iter()
            .map(|Resource { pattern, name, .. }| (pattern, name))
            .collect();
        let name = Some("other \"name\"".to_owned());
        assert_eq!(
            found,
            [
                ("/named/{id:\\d+}".to_owned(), name.clone()),
                ("/plain".to_owned(), None),
                ("/a".to_owned(), None),
                ("/b\u{e9}".to_owned(), None),
                ("/one/{two}/named/{id:\\d+}".to_owned(), name),
                ("/one/{two}".to_owned(), None),
            ]
        );
    }
}
