use oauth2_actix::require_scope;

#[require_scope("a")]
async fn handler(_: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8) -> &'static str {
    "x"
}

fn main() {}
