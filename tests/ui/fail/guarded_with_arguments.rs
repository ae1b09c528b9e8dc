use oauth2_actix::guarded;

#[guarded("/api")]
mod api {}

fn main() {}
