//! Settings that cannot work.

use std::time::Duration;

use oauth2_actix::{ConfigErrorKind as Kind, status_list::StatusList};

use super::builder;

#[test]
fn lists_that_cannot_be_fetched_fail_to_build() {
    let hosts = || StatusList::hosts(["status.example.com"]);
    for (lists, kind, field) in [
        (StatusList::hosts(Vec::<String>::new()), Kind::Missing, "status_list.hosts"),
        (StatusList::hosts(["https://status.example.com"]), Kind::Invalid, "status_list.hosts"),
        (StatusList::hosts(["status.example.com/lists"]), Kind::Invalid, "status_list.hosts"),
        (StatusList::hosts(["a.example", "a.example"]), Kind::Duplicate, "status_list.hosts"),
        (hosts().max_age(Duration::ZERO), Kind::OutOfRange, "status_list.max_age_seconds"),
        (
            hosts().max_age(Duration::from_secs(86_401)),
            Kind::OutOfRange,
            "status_list.max_age_seconds",
        ),
        (hosts().max_bytes(1023), Kind::OutOfRange, "status_list.max_bytes"),
        (hosts().max_bytes((64 << 20) + 1), Kind::OutOfRange, "status_list.max_bytes"),
    ] {
        let error = builder(lists).build().map(drop).unwrap_err();
        assert_eq!((error.kind(), error.field(), error.provider()), (kind, field, Some("idp")));
    }
    builder(hosts().max_age(Duration::from_secs(1)).max_bytes(1024)).build().unwrap();
}
