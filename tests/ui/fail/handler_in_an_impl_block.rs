use oauth2_actix::require_scope;

struct Handlers;

impl Handlers {
    #[require_scope("a")]
    async fn handler() -> &'static str {
        "x"
    }
}

fn main() {}
