//! A WebSocket client.

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::wait::PATIENCE;

/// An open connection.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The protocol that the server selected.
    pub protocol: Option<String>,
    /// The headers of the response, as text.
    pub answer: String,
}

impl Socket {
    /// Connects to an `http` or `ws` URL with these headers.
    pub async fn open(url: &str, headers: &[(&'static str, &str)]) -> Self {
        let mut request = url.replacen("http://", "ws://", 1).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
        }
        let (stream, response) = connect_async(request).await.unwrap();
        assert_eq!(response.status(), 101);
        let protocol = response
            .headers()
            .get("sec-websocket-protocol")
            .map(|value| value.to_str().unwrap().to_owned());
        Self { stream, protocol, answer: format!("{:?}", response.headers()) }
    }

    /// Sends a text.
    pub async fn send(&mut self, text: &str) {
        let _ = self.stream.send(Message::text(text)).await;
    }

    /// Returns the next text, `code reason` of a close frame, or `gone`.
    pub async fn receive(&mut self) -> String {
        loop {
            let next = timeout(PATIENCE, self.stream.next()).await.expect("a message");
            match next {
                Some(Ok(Message::Text(text))) => return text.to_string(),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return format!("{} {}", u16::from(frame.code), frame.reason);
                }
                Some(Ok(Message::Close(None))) => return "closed".to_owned(),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return "gone".to_owned(),
            }
        }
    }
}
