use oauth2_actix::public;

#[public]
async fn handler() -> &'static str {
    "x"
}

fn main() {}
