use oauth2_actix::guarded;

#[guarded]
mod api {
    use actix_web::get;

    #[r#get("/raw")]
    async fn raw() -> &'static str {
        ""
    }

    #[cfg_attr(true, get("/condition-is-a-keyword"))]
    async fn keyword() -> &'static str {
        ""
    }

    #[cfg_attr(all(), cfg_attr(all(), get("/nested")))]
    async fn nested() -> &'static str {
        ""
    }

    #[authenticated(__oauth2_actix_merged)]
    #[get("/forged-marker")]
    async fn forged_marker() -> &'static str {
        ""
    }

    #[rustfmt::public]
    #[get("/public-of-another-crate")]
    async fn other_public() -> &'static str {
        ""
    }

    macro_rules! with_path {
        ($name:ident, $path:literal) => {
            #[actix_web::get($path)]
            pub async fn $name() -> &'static str {
                ""
            }
        };
    }

    with_path!(inside, "/inside");
}

fn main() {}
