use oauth2_actix::public;

#[public]
struct Handler;

fn main() {}
