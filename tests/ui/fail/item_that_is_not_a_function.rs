use oauth2_actix::require_scope;

#[require_scope("a")]
struct Handler;

fn main() {}
