use actix_web::{
    Error, HttpMessage,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
};
use oauth2_actix::Claims;
use tracing::{Span, field::Empty};
use tracing_actix_web::{DefaultRootSpanBuilder, RootSpanBuilder, root_span};

/// The span of the request, with the user of its token.
struct UserSpan;

impl RootSpanBuilder for UserSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        root_span!(request, user = Empty, provider = Empty)
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        if let Ok(response) = outcome
            && let Some(claims) = response.request().extensions().get::<Claims>()
        {
            span.record("user", claims.subject());
            span.record("provider", claims.provider());
        }
        DefaultRootSpanBuilder::on_request_end(span, outcome);
    }
}

mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use actix_web::{App, HttpResponse, test, web};
    use serde_json::json;
    use tracing_actix_web::TracingLogger;
    use tracing_subscriber::{
        filter::LevelFilter,
        fmt::{self, format::FmtSpan},
        layer::SubscriberExt,
    };

    use super::UserSpan;
    use crate::kit;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[actix_web::test]
    async fn span_names_user_and_provider() {
        let log = Log::default();
        let writer = log.clone();
        let layer = fmt::layer()
            .with_ansi(false)
            .with_span_events(FmtSpan::CLOSE)
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(layer).with(LevelFilter::INFO);
        let _guard = tracing::subscriber::set_default(subscriber);

        let oauth2 = kit::oauth2();
        let app = App::new()
            .wrap(oauth2.clone())
            .wrap(TracingLogger::<UserSpan>::new())
            .route("/", web::get().to(HttpResponse::Ok));
        let app = test::init_service(app).await;
        let request = kit::get_as("/", &json!({"sub": "ann"})).to_request();
        assert_eq!(test::call_service(&app, request).await.status(), 200);

        let log = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("text");
        assert!(log.contains("user=\"ann\" provider=\"test\""), "{log}");
    }
}
