use std::{io, net::TcpListener, time::Duration};

use actix_web::{App, HttpResponse, HttpServer, dev::Server, rt, web};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use prometheus::{Registry, TextEncoder};

/// Records the metrics of this crate. Call it before `build()`, so that it gets their descriptions.
fn install_recorder() -> Result<PrometheusHandle, BuildError> {
    let seconds = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
    let duration = Matcher::Full("oauth2_key_fetch_duration_seconds".to_owned());
    let handle = PrometheusBuilder::new()
        // Without buckets, histograms are exported as summaries.
        .set_buckets_for_metric(duration, &seconds)?
        .install_recorder()?;
    let upkeep = handle.clone();
    rt::spawn(async move {
        loop {
            rt::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

/// Returns both registries as one text: that of this crate, and that of `actix-web-prom`.
async fn metrics(
    oauth2: web::Data<PrometheusHandle>,
    http: web::Data<Registry>,
) -> actix_web::Result<HttpResponse> {
    let mut text = oauth2.render();
    TextEncoder::new()
        .encode_utf8(&http.gather(), &mut text)
        .map_err(actix_web::error::ErrorInternalServerError)?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(text))
}

/// Serves `/metrics` without a token, on a separate port that only the scraper can reach.
fn metrics_server(
    port: TcpListener,
    oauth2: PrometheusHandle,
    http: Registry,
) -> io::Result<Server> {
    let app = move || {
        App::new()
            .app_data(web::Data::new(oauth2.clone()))
            .app_data(web::Data::new(http.clone()))
            .route("/metrics", web::get().to(metrics))
    };
    Ok(HttpServer::new(app).workers(1).listen(port)?.run())
}

mod tests {
    use actix_web::test;
    use actix_web_prom::PrometheusMetricsBuilder;
    use serde_json::json;

    use super::*;
    use crate::kit;

    #[actix_web::test]
    async fn both_registries_are_scraped() {
        let handle = install_recorder().expect("the first recorder");
        let registry = Registry::new();
        let http = PrometheusMetricsBuilder::new("api")
            .registry(registry.clone())
            .build()
            .expect("metrics");
        let oauth2 = kit::oauth2();
        let app = test::init_service(
            App::new()
                .wrap(oauth2.clone())
                // Outside, so that it also counts rejected requests.
                .wrap(http.clone())
                .route("/", web::get().to(HttpResponse::Ok)),
        )
        .await;
        let request = kit::get_as("/", &json!({})).to_request();
        assert_eq!(test::call_service(&app, request).await.status(), 200);
        let request = kit::get("/").to_request();
        assert_eq!(test::call_service(&app, request).await.status(), 400);

        let port = TcpListener::bind("127.0.0.1:0").expect("a port");
        drop(metrics_server(port, handle.clone(), registry.clone()).expect("a server"));
        let scraped = test::init_service(
            App::new()
                .app_data(web::Data::new(handle))
                .app_data(web::Data::new(registry))
                .route("/metrics", web::get().to(metrics)),
        )
        .await;
        let text = test::call_and_read_body(&scraped, kit::get("/metrics").to_request()).await;
        let text = std::str::from_utf8(&text).expect("text");
        for line in ["oauth2_requests_total{", "api_http_requests_total{"] {
            assert!(text.contains(line), "{text}");
        }
    }
}
