//! The HTML pages. They have no script, and every text in them is escaped.

use std::fmt::Write as _;

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
        X_FRAME_OPTIONS,
    },
};
use url::Url;

use super::grants::Asked;

/// The page on which a user answers a client. `form` is the value that binds the answer to the request.
pub(super) fn sign_in(asked: &Asked, audience: &str, form: &str) -> HttpResponse {
    let client = asked.client.name.as_deref().unwrap_or("A client without a name");
    let mut body = format!(
        "<h1>Sign in</h1>\n\
         <p>This identity provider is for development only: it asks for no password.</p>\n\
         <p><strong>{}</strong> asks to act for you. Its id is <code>{}</code>, and you go back to \
         <strong>{}</strong>.</p>\n",
        escape(client),
        escape(&asked.client.id),
        escape(&destination(&asked.redirect_uri)),
    );
    let audiences: Vec<_> = match asked.resources.as_slice() {
        [] => vec![audience],
        resources => resources.iter().map(String::as_str).collect(),
    };
    body += &list("It gets a token for:", &audiences);
    let scopes: Vec<_> = asked.scopes.iter().map(String::as_str).collect();
    body += &match scopes.as_slice() {
        [] => "<p>It asks for no scope.</p>\n".to_owned(),
        scopes => list("It asks for the scopes:", scopes),
    };
    // The address is relative, so that it is right under any path.
    let _ = write!(
        body,
        "<form method=\"post\" action=\"authorize\">\n\
         <input type=\"hidden\" name=\"form\" value=\"{}\">\n\
         <p><label>User name <input name=\"user\" value=\"ann\" maxlength=\"{MAX_USER}\" required></label></p>\n\
         <p><button name=\"answer\" value=\"approve\">Approve</button>\n\
         <button name=\"answer\" value=\"deny\" formnovalidate>Deny</button></p>\n\
         </form>\n",
        escape(form),
    );
    page(HttpResponse::Ok(), &body)
}

/// The page for an error of which the client is not told, since it may not be the client that asked.
pub(super) fn problem(text: &str) -> HttpResponse {
    let body = format!("<h1>Sign in is not possible</h1>\n<p>{}</p>\n", escape(text));
    page(HttpResponse::BadRequest(), &body)
}

fn page(mut response: HttpResponseBuilder, body: &str) -> HttpResponse {
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        // Not `form-action`, which would also apply to the redirect to the client.
        .insert_header((
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
        ))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((X_FRAME_OPTIONS, "DENY"))
        .content_type("text/html; charset=utf-8")
        .body(format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
             <title>Sign in (development only)</title></head>\n<body>\n{body}</body>\n</html>\n"
        ))
}

fn list(title: &str, entries: &[&str]) -> String {
    let mut text = format!("<p>{}</p>\n<ul>\n", escape(title));
    for entry in entries {
        let _ = writeln!(text, "<li><code>{}</code></li>", escape(entry));
    }
    text + "</ul>\n"
}

/// Returns where a redirect URI leads: a host with its port, or the application of a scheme.
fn destination(redirect_uri: &str) -> String {
    match Url::parse(redirect_uri) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url.authority().to_owned(),
        Ok(url) => format!("the application of {}:", url.scheme()),
        Err(_) => redirect_uri.to_owned(),
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            // Also those that change the direction of the text after them.
            character if character.is_control() || is_directional(character) => {
                escaped.push('\u{fffd}')
            }
            character => escaped.push(character),
        }
    }
    escaped
}

fn is_directional(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The longest user name, in characters.
pub(super) const MAX_USER: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_direction_are_escaped() {
        assert_eq!(
            escape("<b a=\"1\" c='2'>&amp;\n\u{202e}ä"),
            "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;\u{fffd}\u{fffd}ä"
        );
    }

    #[test]
    fn destinations() {
        assert_eq!(destination("http://127.0.0.1:9/cb"), "127.0.0.1:9");
        assert_eq!(destination("https://app.example/cb?x"), "app.example");
        assert_eq!(destination("cursor://x/cb"), "the application of cursor:");
    }
}
