use oauth2_actix::guarded;

#[guarded]
mod api {
    use actix_web::{get, post as create};

    macro_rules! handler {
        ($name:ident) => {
            #[get("/in-a-macro")]
            async fn $name() -> &'static str {
                ""
            }
        };
    }

    handler!(inside);

    #[create("/renamed")]
    async fn renamed() -> &'static str {
        ""
    }
}

fn main() {}
