use actix_web::{get, post};
use oauth2_actix::guarded;

#[guarded]
mod api {
    use super::*;
    use oauth2_actix::{authenticated, public};

    #[get("/forgotten")]
    async fn forgotten() -> &'static str {
        ""
    }

    #[public]
    #[get("/health")]
    async fn health() -> &'static str {
        ""
    }

    mod nested {
        use super::*;

        #[post("/also-forgotten")]
        async fn also_forgotten() -> &'static str {
            ""
        }
    }

    #[cfg_attr(all(), get("/conditional"))]
    async fn conditional() -> &'static str {
        ""
    }

    #[authenticated]
    #[get("/me")]
    async fn me() -> &'static str {
        ""
    }

    async fn helper() {}
}

fn main() {}
