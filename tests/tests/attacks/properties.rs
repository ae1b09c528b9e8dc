//! Decisions on arbitrary input, compared with reference implementations.

use std::time::Duration;

use actix_web::{
    App, HttpResponse,
    dev::ResourceDef,
    test::{TestRequest, call_service, init_service},
    web,
};
use oauth2_actix::{
    Algorithm, Provider,
    requirement::{self, ClaimValue, ClaimValues, Requirement},
    testing::ManualClock,
};
use oauth2_actix_tests::{forge, keys::key, policy};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::{Map, Value, json};

use crate::target::{AUDIENCE, ISSUER, provider};

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

/// A policy with a secret, which is fast to sign with.
fn with_secret() -> oauth2_actix::OAuth2Builder {
    let provider = Provider::new()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .algorithms([Algorithm::HS256])
        .keys(key(Algorithm::HS256).jwk_set());
    policy::builder().provider("secret", provider)
}

fn sign(claims: &Map<String, Value>) -> String {
    let secret = key(Algorithm::HS256);
    let claims = Value::Object(claims.clone()).to_string();
    forge::forge(forge::header(secret).to_string(), claims, forge::by(secret))
}

// Few names and values, so that requirements and claims often match.

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec!["role", "a", "scope", "/role", "/a/b"]),
        1 => prop::sample::select(vec![
            "roles", "b", "a.b", "", "0", "a/b", "~", "\u{e9}", "/roles/0", "/a", "/", "//", "/a~1b", "/~0",
            "/scope", "/b/a/0", "/b/-", "/b/00",
        ]),
    ]
    .prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec!["admin", "user"]).prop_map(str::to_owned),
        4 => prop::sample::select(vec![
            "adm", "administrator", "Admin", "admin ", "", "7", "true", "null", "admin user", "admin\tuser",
            "a\"b", "\u{e9}",
        ]).prop_map(str::to_owned),
        1 => "[ -~]{0,8}",
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => text().prop_map(Value::from),
        1 => prop::sample::select(vec![
            json!(7), json!(-7), json!(0), json!(1), json!(7.0), json!(0.5), json!(u64::MAX),
            json!(i64::MIN), json!(1e18), json!(true), json!(false), Value::Null,
        ]),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn claims() -> impl Strategy<Value = Map<String, Value>> {
    let nested = prop::collection::btree_map(Just("b".to_owned()), value(), 0..2)
        .prop_map(|members| Value::Object(members.into_iter().collect()));
    (prop::collection::btree_map(name(), value(), 0..8), prop::option::of(nested)).prop_map(
        |(members, nested)| {
            let mut claims: Map<String, Value> = members.into_iter().collect();
            claims.extend(nested.map(|nested| ("a".to_owned(), nested)));
            claims
        },
    )
}

#[derive(Clone, Debug)]
enum Wanted {
    Text(String),
    Integer(i64),
    Bool(bool),
}

impl Wanted {
    fn value(&self) -> ClaimValue {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Integer(number) => (*number).into(),
            Self::Bool(yes) => (*yes).into(),
        }
    }

    fn is(&self, claim: &Value) -> bool {
        match self {
            Self::Text(text) => claim.as_str() == Some(text),
            Self::Integer(number) => {
                claim.as_i64() == Some(*number)
                    || u64::try_from(*number).is_ok_and(|number| claim.as_u64() == Some(number))
            }
            Self::Bool(yes) => claim.as_bool() == Some(*yes),
        }
    }

    /// Returns whether the claim is the value or contains it.
    fn met_by(&self, claim: &Value) -> bool {
        match claim {
            Value::Array(list) => list.iter().any(|item| self.is(item)),
            claim => self.is(claim),
        }
    }
}

#[derive(Clone, Debug)]
enum Rule {
    One(String, Wanted),
    AnyOf(String, Vec<Wanted>),
    AllOf(String, Vec<Wanted>),
    Present(String),
    Scopes(Vec<String>),
    AnyScope(Vec<String>),
    Any(Vec<Rule>),
    All(Vec<Rule>),
}

fn rule() -> impl Strategy<Value = Rule> {
    let wanted = || {
        prop_oneof![
            4 => text().prop_map(Wanted::Text),
            1 => prop::sample::select(vec![7, -7, 0, 1, i64::MIN]).prop_map(Wanted::Integer),
            1 => any_bool().prop_map(Wanted::Bool),
        ]
    };
    let several = move || prop::collection::vec(wanted(), 0..3);
    let leaf = prop_oneof![
        (name(), wanted()).prop_map(|(name, wanted)| Rule::One(name, wanted)),
        (name(), several()).prop_map(|(name, wanted)| Rule::AnyOf(name, wanted)),
        (name(), several()).prop_map(|(name, wanted)| Rule::AllOf(name, wanted)),
        name().prop_map(Rule::Present),
        prop::collection::vec(text(), 0..3).prop_map(Rule::Scopes),
        prop::collection::vec(text(), 0..3).prop_map(Rule::AnyScope),
    ];
    leaf.prop_recursive(2, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Rule::Any),
            prop::collection::vec(inner, 0..3).prop_map(Rule::All),
        ]
    })
}

fn any_bool() -> impl Strategy<Value = bool> {
    prop::bool::ANY
}

impl Rule {
    fn requirement(&self) -> Requirement {
        let values = |all: &[Wanted]| all.iter().map(Wanted::value).collect::<Vec<_>>();
        let parts = |all: &[Self]| all.iter().map(Self::requirement).collect::<Vec<_>>();
        match self {
            Self::One(name, wanted) => requirement::claim(name.as_str(), wanted.value()),
            Self::AnyOf(name, wanted) => {
                requirement::claim(name.as_str(), ClaimValues::any_of(values(wanted)))
            }
            Self::AllOf(name, wanted) => {
                requirement::claim(name.as_str(), ClaimValues::all_of(values(wanted)))
            }
            Self::Present(name) => requirement::claim(name.as_str(), ClaimValues::present()),
            Self::Scopes(wanted) => requirement::scopes(wanted.iter().map(String::as_str)),
            Self::AnyScope(wanted) => requirement::any_scope(wanted.iter().map(String::as_str)),
            Self::Any(rules) => requirement::any(parts(rules)),
            Self::All(rules) => requirement::all(parts(rules)),
        }
    }

    fn holds(&self, claims: &Value) -> bool {
        let find = |name: &String| match name.strip_prefix('/') {
            Some(_) => claims.pointer(name),
            None => claims.get(name),
        };
        let has_scope = |wanted: &String| {
            !wanted.is_empty()
                && ["scope", "scp"].iter().filter_map(|name| claims.get(*name)).any(|claim| {
                    match claim {
                        Value::String(text) => text.split(' ').any(|scope| scope == wanted),
                        // Of a list, what RFC 6749 calls a scope-token.
                        Value::Array(list) => {
                            list.iter().any(|scope| scope == wanted)
                                && wanted
                                    .chars()
                                    .all(|c| ('!'..='~').contains(&c) && c != '"' && c != '\\')
                        }
                        _ => false,
                    }
                })
        };
        match self {
            Self::One(name, wanted) => find(name).is_some_and(|claim| wanted.met_by(claim)),
            Self::AnyOf(name, all) => {
                find(name).is_some_and(|claim| all.iter().any(|wanted| wanted.met_by(claim)))
            }
            Self::AllOf(name, all) => {
                !all.is_empty()
                    && find(name).is_some_and(|claim| all.iter().all(|wanted| wanted.met_by(claim)))
            }
            Self::Present(name) => find(name).is_some_and(|claim| !claim.is_null()),
            Self::Scopes(all) => !all.is_empty() && all.iter().all(has_scope),
            Self::AnyScope(all) => all.iter().any(has_scope),
            Self::Any(rules) => rules.iter().any(|rule| rule.holds(claims)),
            Self::All(rules) => !rules.is_empty() && rules.iter().all(|rule| rule.holds(claims)),
        }
    }
}

#[test]
fn requirements_on_arbitrary_claims_match_the_reference() {
    let oauth2 = with_secret().build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let met = std::cell::Cell::new(0);
    runner(3_000)
        .run(&(claims(), prop::collection::vec(rule(), 1..6)), |(mut all, rules)| {
            all.insert("iss".into(), json!(ISSUER));
            all.insert("aud".into(), json!(AUDIENCE));
            all.insert("exp".into(), json!(4_000_000_000_u64));
            let token = sign(&all);
            let claims = runtime
                .block_on(oauth2.verify(&token))
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(&claims.to_map(), &all);
            for rule in &rules {
                let holds = rule.holds(&Value::Object(all.clone()));
                met.set(met.get() + usize::from(holds));
                prop_assert_eq!(claims.satisfies(&rule.requirement()), holds, "{:?}", rule);
            }
            Ok(())
        })
        .unwrap();
    assert!(met.get() > 500, "too few requirements are satisfied: {}", met.get());
}

/// A path of few letters, some of them escaped, and the path that the router reads.
fn path() -> impl Strategy<Value = (String, String)> {
    let letter = |text: &str| (text.to_owned(), text.to_owned());
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "docs", "public", "users", "me", "a", "x", ".", "..", ";", "-", "1", "42", "PUBLIC", "s", ":", ",",
        ]).prop_map(letter),
        2 => prop::sample::select(vec!["d", "o", "p", "m", "e", "u", ".", "1", ";", " "]).prop_map(|text| {
            (format!("%{:02X}", text.as_bytes()[0]), text.to_owned())
        }),
        // The router leaves these as they are.
        1 => prop::sample::select(vec!["%2F", "%25", "%2B"]).prop_map(letter),
    ];
    let segment = prop::collection::vec(piece, 0..3).prop_map(|pieces| {
        pieces
            .into_iter()
            .fold((String::new(), String::new()), |(raw, seen), (r, s)| (raw + &r, seen + &s))
    });
    prop::collection::vec(segment, 1..5).prop_map(|segments| {
        let raw: Vec<String> = segments.iter().map(|one| one.0.clone()).collect();
        let seen: Vec<String> = segments.into_iter().map(|one| one.1).collect();
        (format!("/{}", raw.join("/")), format!("/{}", seen.join("/")))
    })
}

fn is_pattern(definition: &ResourceDef) -> bool {
    definition.pattern().is_some_and(|pattern| pattern.contains('{'))
}

#[test]
fn public_paths_match_as_actix_resources_do() {
    for patterns in [
        &["/"][..],
        &["/public"],
        &["/public", "/public/"],
        &["/docs/{tail:.*}"],
        &["/docs", "/docs/{tail}*"],
        &["/users/{id}"],
        &["/users/{id:\\d+}", "/a"],
        &["/users/{id:[^m].*}"],
        &["/{one}/x/{two}", "/docs"],
        &["/{tail:.*}s"],
        &["/a.b", "/a-{x}"],
    ] {
        let oauth2 = policy::builder()
            .provider("test", provider())
            .public_paths(patterns.iter().copied())
            .build()
            .unwrap();
        let definitions: Vec<ResourceDef> =
            patterns.iter().map(|pattern| ResourceDef::new(*pattern)).collect();
        let system = actix_web::rt::System::new();
        let app = App::new().default_service(web::to(HttpResponse::Ok)).wrap(oauth2);
        let app = system.block_on(init_service(app));
        runner(400)
            .run(&path(), |(raw, seen)| {
                let request = TestRequest::with_uri(&raw).to_request();
                let status = system.block_on(call_service(&app, request)).status().as_u16();
                // A pattern never matches a path with dot segments, since some handlers resolve them.
                let dots = seen.replace("%2F", "/").split('/').any(|one| one == "." || one == "..");
                let matches = |path: &str| {
                    definitions.iter().any(|definition| {
                        definition.is_match(path) && !(dots && is_pattern(definition))
                    })
                };
                // Every path that `NormalizePath` could make of it must be public.
                let segments: Vec<&str> = seen.split('/').filter(|one| !one.is_empty()).collect();
                let trimmed = format!("/{}", segments.join("/"));
                let is_slashed = seen.ends_with('/') && !segments.is_empty();
                let merged = format!("{trimmed}{}", if is_slashed { "/" } else { "" });
                let public = [&seen, &trimmed, &merged].into_iter().all(|path| matches(path));
                prop_assert_eq!(status, if public { 200 } else { 400 }, "{} as {}", raw, seen);
                Ok(())
            })
            .unwrap();
    }
}

/// A piece of a pattern: literal text, or a segment in braces.
#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Segment(String),
}

fn piece() -> impl Strategy<Value = Piece> {
    let text = prop::sample::select(vec![
        "/", "/", "/docs", "/files/", "docs", "a", "thumb*", "*", "}", "{", "(", ")", "|", "[",
        "]", "^", "$", "\\", ".", ".*", "-", "\n", "#",
    ]);
    let name = prop_oneof![
        9 => prop::sample::select(vec!["a", "b", "c", "d", "tail"]),
        1 => prop::sample::select(vec!["", "a b", "a>.*)|(?P<b", "a>", "*", "1", "a[0]"]),
    ];
    let expression = prop::collection::vec(
        prop::sample::select(vec![
            "a",
            "x",
            ".",
            ".*",
            ".+",
            "\\d+",
            "[^/]+",
            "[a-z]",
            "(",
            ")",
            "|",
            "[",
            "]",
            "[^",
            "\\",
            "?",
            "*",
            "+",
            "^",
            "$",
            "#",
            "\n",
            "(?x)",
            "(?i)",
            "(?P<q>",
            ")|(",
            ")|(?P<z>.*",
            "{1,2}",
            "/",
            ":",
        ]),
        0..5,
    );
    prop_oneof![
        3 => text.prop_map(|text| Piece::Text(text.to_owned())),
        1 => name.clone().prop_map(|name| Piece::Segment(format!("{{{name}}}"))),
        1 => name.clone().prop_map(|name| Piece::Segment(format!("{{{name}:.*}}"))),
        2 => (name, expression).prop_map(|(name, expression)| {
            Piece::Segment(format!("{{{name}:{}}}", expression.concat()))
        }),
    ]
}

/// A pattern, and similar paths: each piece is kept, omitted or replaced.
fn pattern_and_paths() -> impl Strategy<Value = (String, Vec<String>)> {
    let fill = prop_oneof![
        4 => Just(None),
        6 => prop::sample::select(vec![
            "", "a", "x", "7", "a/b", "admin", "/", "/docs", "thumb", "thumb*", "*", ")", "]", "\n",
        ]).prop_map(Some),
    ];
    prop::collection::vec(piece(), 0..6).prop_flat_map(move |pieces| {
        let path = prop::collection::vec(fill.clone(), pieces.len() + 1).prop_map({
            let pieces = pieces.clone();
            move |fills| {
                let parts = pieces.iter().zip(&fills).map(|(piece, fill)| match (piece, fill) {
                    (Piece::Text(text), None) => text.as_str(),
                    (Piece::Segment(_), None) => "a",
                    (_, Some(fill)) => fill,
                });
                let more = fills.last().copied().flatten().unwrap_or_default();
                format!("/{}{more}", parts.collect::<String>())
            }
        });
        let texts = pieces.into_iter().map(|piece| match piece {
            Piece::Text(text) | Piece::Segment(text) => text,
        });
        (Just(format!("/{}", texts.collect::<String>())), prop::collection::vec(path, 12))
    })
}

/// Returns the texts outside the braces of a pattern, with an empty text at an end that is a segment.
fn texts(pattern: &str) -> Vec<String> {
    let (mut texts, mut depth) = (vec![String::new()], 0_i32);
    let pattern = if pattern.ends_with("}*") { &pattern[..pattern.len() - 1] } else { pattern };
    for character in pattern.chars() {
        match character {
            '{' => {
                depth += 1;
                if depth == 1 {
                    texts.push(String::new());
                }
            }
            '}' if depth > 0 => depth -= 1,
            other if depth == 0 => texts.last_mut().unwrap().push(other),
            _ => {}
        }
    }
    texts
}

/// Returns whether a path contains these texts in order, the first at its start and the last at its end.
fn contains_in_order(path: &str, texts: &[String]) -> bool {
    let [first, middle @ .., last] = texts else { return path == texts[0] };
    let mut rest = path.strip_prefix(first.as_str());
    for text in middle {
        rest = rest.and_then(|rest| Some(&rest[rest.find(text.as_str())? + text.len()..]));
    }
    rest.is_some_and(|rest| rest.ends_with(last.as_str()))
}

/// A pattern of `public_paths` opens only paths that contain its literal text.
#[test]
fn public_pattern_opens_only_paths_that_contain_its_text() {
    let system = actix_web::rt::System::new();
    let (accepted, opened) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let encode = |path: &str| {
        let encode = |byte: u8| match byte {
            b'/' | b'-' | b'.' | b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        };
        path.bytes().map(encode).collect::<String>()
    };
    runner(8_000)
        .run(&pattern_and_paths(), |(pattern, paths)| {
            let Ok(oauth2) = with_secret().public_paths([&pattern]).build() else { return Ok(()) };
            accepted.set(accepted.get() + 1);
            let app = App::new().default_service(web::to(HttpResponse::Ok)).wrap(oauth2);
            let app = system.block_on(init_service(app));
            let texts = texts(&pattern);
            for path in paths {
                let request = TestRequest::with_uri(&encode(&path)).to_request();
                if system.block_on(call_service(&app, request)).status().is_success() {
                    opened.set(opened.get() + 1);
                    let contains = contains_in_order(&path, &texts);
                    prop_assert!(contains, "{:?} opens {:?}", pattern, path);
                }
            }
            Ok(())
        })
        .unwrap();
    let (accepted, opened) = (accepted.get(), opened.get());
    assert!(accepted > 1_000 && opened > 1_000, "too few: {accepted}, {opened}");
}

/// A time claim: near the present, or arbitrary.
fn time(now: i64) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        6 => (-1_300_i64..1_300).prop_map(move |offset| Some(json!(now + offset))),
        2 => (-1_300.0..1_300.0).prop_map(move |offset: f64| Some(json!(now as f64 + offset))),
        2 => Just(None),
        1 => prop::sample::select(vec![
            json!(0), json!(-1), json!(-0.0), json!(1e300), json!(u64::MAX), json!(i64::MIN),
            json!(253_402_300_799_u64), json!(253_402_300_800_u64), json!(253_402_300_799.5),
            json!("4000000000"), json!(true), Value::Null, json!([4_000_000_000_u64]), json!({}),
        ]).prop_map(Some),
        1 => prop::num::f64::ANY.prop_map(|any| Some(json!(any))),
        1 => prop::num::i64::ANY.prop_map(|any| Some(json!(any))),
    ]
}

/// Returns `None` for a missing claim, and `Some(None)` for one that is not a time.
fn read(claim: &Option<Value>) -> Option<Option<f64>> {
    let number = match claim {
        None => return None,
        Some(Value::Number(number)) => number.as_f64(),
        Some(_) => None,
    };
    Some(number.filter(|seconds| *seconds >= 0.0 && *seconds <= 253_402_300_799.0))
}

#[test]
fn arbitrary_times_match_the_reference() {
    let clock = ManualClock::new();
    let now = i64::try_from(clock.unix_seconds()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let limits = (prop_oneof![Just(0), 0_u64..=600], prop::option::of(1_u64..1_300));
    let accepted = std::cell::Cell::new(0);
    runner(4_000)
        .run(&(time(now), time(now), time(now), limits), |(exp, nbf, iat, (leeway, age))| {
            let mut builder =
                with_secret().leeway(Duration::from_secs(leeway)).clock(clock.clone());
            if let Some(age) = age {
                builder = builder.max_token_age(Duration::from_secs(age));
            }
            let oauth2 = builder.build().map_err(|error| TestCaseError::fail(error.to_string()))?;
            let mut claims = Map::new();
            claims.insert("iss".into(), json!(ISSUER));
            claims.insert("aud".into(), json!(AUDIENCE));
            for (name, claim) in [("exp", &exp), ("nbf", &nbf), ("iat", &iat)] {
                if let Some(value) = claim {
                    claims.insert(name.into(), value.clone());
                }
            }
            let (at, slack) = (now as f64, leeway as f64);
            let expected = matches!(read(&exp), Some(Some(exp)) if at < exp + slack)
                && match read(&nbf) {
                    None => true,
                    Some(nbf) => nbf.is_some_and(|nbf| nbf <= at + slack),
                }
                && match (read(&iat), age) {
                    (None, age) => age.is_none(),
                    (Some(None), _) => false,
                    (Some(Some(_)), None) => true,
                    (Some(Some(iat)), Some(age)) => at < iat + age as f64 + slack,
                };
            let verified = runtime.block_on(oauth2.verify(&sign(&claims)));
            accepted.set(accepted.get() + usize::from(expected));
            prop_assert_eq!(verified.is_ok(), expected, "{:?}", verified.err());
            Ok(())
        })
        .unwrap();
    assert!(accepted.get() > 300, "too few are accepted: {}", accepted.get());
}
