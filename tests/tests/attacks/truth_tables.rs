//! Every nesting of requirements over every combination of claims, compared with boolean logic: another crate
//! lost the parentheses, and so the authorization.

use actix_web::{App, HttpResponse, HttpServer, web};
use oauth2_actix::{
    Claims, OAuth2,
    requirement::{self, ClaimValues, Requirement},
    testing::LocalServer,
};
use oauth2_actix_tests::client::raw;
use serde_json::{Value, json};

use crate::target::{bearer, builder, es256, good, request};

/// A requirement and its reference.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(usize),
    Any(Vec<Tree>),
    All(Vec<Tree>),
}

impl Tree {
    fn requirement(&self, leaf: &impl Fn(usize) -> Requirement) -> Requirement {
        let parts = |trees: &[Self]| -> Vec<Requirement> {
            trees.iter().map(|tree| tree.requirement(leaf)).collect()
        };
        match self {
            Self::Leaf(index) => leaf(*index),
            Self::Any(trees) => requirement::any(parts(trees)),
            Self::All(trees) => requirement::all(parts(trees)),
        }
    }

    fn holds(&self, truth: &[bool]) -> bool {
        match self {
            Self::Leaf(index) => truth[*index],
            Self::Any(trees) => trees.iter().any(|tree| tree.holds(truth)),
            // An empty list is never satisfied.
            Self::All(trees) => !trees.is_empty() && trees.iter().all(|tree| tree.holds(truth)),
        }
    }

    /// Returns the leaves, and `any` and `all` of every subset of them.
    fn flat(leaves: usize) -> Vec<Self> {
        let subsets = (0..1_usize << leaves).map(|bits| -> Vec<Self> {
            (0..leaves).filter(|leaf| bits & 1 << leaf != 0).map(Self::Leaf).collect()
        });
        (0..leaves)
            .map(Self::Leaf)
            .chain(subsets.flat_map(|subset| [Self::Any(subset.clone()), Self::All(subset)]))
            .collect()
    }

    /// Returns `any` and `all` of up to this many of these, in every order.
    fn nest(parts: &[Self], most: usize) -> Vec<Self> {
        let mut lists: Vec<Vec<Self>> = vec![vec![]];
        let mut trees = Vec::new();
        for _ in 0..most {
            lists = lists
                .iter()
                .flat_map(|list| {
                    parts.iter().map(move |part| [list.clone(), vec![part.clone()]].concat())
                })
                .collect();
            trees.extend(lists.iter().cloned().map(Self::Any));
            trees.extend(lists.iter().cloned().map(Self::All));
        }
        trees
    }
}

/// Values of a claim, and whether they satisfy a requirement for `yes`.
fn states() -> [(Option<Value>, bool); 5] {
    [
        (None, false),
        (Some(json!("yes")), true),
        (Some(json!("yes, yesterday")), false),
        (Some(json!(["no", "yes"])), true),
        (Some(json!([["yes"], true, null])), false),
    ]
}

async fn with_claims(oauth2: &OAuth2, claims: &[Option<Value>]) -> Claims {
    let mut token = good();
    for (index, claim) in claims.iter().enumerate() {
        if let Some(value) = claim {
            token = token.claim(&format!("c{index}"), value.clone());
        }
    }
    oauth2.verify(&token.sign(es256())).await.unwrap()
}

#[tokio::test]
async fn nested_requirements_on_two_claims_match_boolean_logic() {
    let oauth2 = builder().build().unwrap();
    let leaf = |index: usize| requirement::claim(format!("c{index}"), "yes");
    let flat = Tree::flat(2);
    let trees = Tree::nest(&flat, 3);
    assert!(trees.len() > 2_000, "{}", trees.len());
    let trees: Vec<_> = trees.iter().map(|tree| (tree, tree.requirement(&leaf))).collect();
    for (first, a) in states() {
        for (second, b) in states() {
            let claims = with_claims(&oauth2, &[first.clone(), second.clone()]).await;
            for (tree, requirement) in &trees {
                let holds = tree.holds(&[a, b]);
                assert_eq!(claims.satisfies(requirement), holds, "{tree:?} {first:?} {second:?}");
                assert_eq!(claims.require(requirement).is_ok(), holds, "{tree:?}");
            }
        }
    }
}

#[tokio::test]
async fn nested_requirements_on_three_claims_match_boolean_logic() {
    let oauth2 = builder().build().unwrap();
    // One leaf of each kind: by value, by several, by a function or a scope.
    let leaves: [fn(usize) -> Requirement; 4] = [
        |index| requirement::claim(format!("c{index}"), "yes"),
        |index| requirement::claim(format!("/c{index}"), ClaimValues::any_of(["yes", "never"])),
        |index| requirement::predicate(move |claims| claims.has_claim(&format!("c{index}"), "yes")),
        |index| match index {
            0 => requirement::claim("c0", ClaimValues::all_of(["yes"])),
            1 => requirement::scopes(["one"]),
            _ => requirement::any_scope(["two", "never"]),
        },
    ];
    let trees = Tree::nest(&Tree::flat(3), 2);
    assert!(trees.len() > 700, "{}", trees.len());
    for leaf in leaves {
        let trees: Vec<_> = trees.iter().map(|tree| (tree, tree.requirement(&leaf))).collect();
        for bits in 0..8_u8 {
            let truth: Vec<bool> = (0..3).map(|index| bits & 1 << index != 0).collect();
            let mut token = good();
            let mut scope = String::from("zero");
            for (index, holds) in truth.iter().enumerate() {
                if *holds {
                    token = token.claim(&format!("c{index}"), "yes");
                    scope += [" none", " one", " two"][index];
                }
            }
            let token = token.claim("scope", scope).sign(es256());
            let claims = oauth2.verify(&token).await.unwrap();
            for (tree, requirement) in &trees {
                assert_eq!(claims.satisfies(requirement), tree.holds(&truth), "{tree:?} {truth:?}");
            }
        }
    }
}

#[test]
fn nested_requirements_around_a_service_match_boolean_logic() {
    let leaf = |index: usize| requirement::claim(format!("c{index}"), "yes");
    let pick = |index| Tree::Leaf(index);
    let trees = vec![
        Tree::Any(vec![pick(0), Tree::All(vec![pick(1), pick(2)])]),
        Tree::All(vec![pick(0), Tree::Any(vec![pick(1), pick(2)])]),
        Tree::All(vec![Tree::Any(vec![pick(0), pick(1)]), pick(2)]),
        Tree::Any(vec![Tree::All(vec![pick(0), pick(1)]), pick(2)]),
        Tree::All(vec![Tree::Any(vec![pick(0), pick(1)]), Tree::Any(vec![pick(1), pick(2)])]),
        Tree::Any(vec![Tree::All(vec![pick(0), pick(1)]), Tree::All(vec![pick(1), pick(2)])]),
        Tree::Any(vec![]),
        Tree::All(vec![]),
        Tree::Any(vec![pick(0), Tree::All(vec![])]),
        Tree::All(vec![pick(0), Tree::Any(vec![])]),
    ];
    let oauth2 = builder().build().unwrap();
    let served = trees.clone();
    let server = LocalServer::start(move |listener| {
        let app = move || {
            let served = served.clone();
            App::new()
                .configure(move |config| {
                    for (index, tree) in served.iter().enumerate() {
                        // One requirement around a scope, and two around a resource.
                        config.service(
                            web::scope(&format!("/one/{index}"))
                                .wrap(tree.requirement(&leaf))
                                .route("", web::get().to(HttpResponse::Ok)),
                        );
                        config.service(
                            web::resource(format!("/two/{index}"))
                                .wrap(tree.requirement(&leaf))
                                .wrap(leaf(0))
                                .route(web::get().to(HttpResponse::Ok)),
                        );
                    }
                })
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    for bits in 0..8_u8 {
        let truth: Vec<bool> = (0..3).map(|index| bits & 1 << index != 0).collect();
        let mut token = good();
        for (index, holds) in truth.iter().enumerate() {
            token = token.claim(&format!("c{index}"), if *holds { "yes" } else { "no" });
        }
        let lines = [bearer(&token.sign(es256()))];
        for (index, tree) in trees.iter().enumerate() {
            let holds = tree.holds(&truth);
            for (path, holds) in [("one", holds), ("two", holds && truth[0])] {
                let path = format!("/{path}/{index}");
                let answer = raw(server.address(), &request("GET", &path, &lines));
                assert_eq!(
                    answer.status,
                    if holds { 200 } else { 403 },
                    "{path} {tree:?} {truth:?}"
                );
            }
        }
    }
}
