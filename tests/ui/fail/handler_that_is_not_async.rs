use oauth2_actix::require_scope;

#[require_scope("a")]
fn handler() -> &'static str {
    "x"
}

fn main() {}
