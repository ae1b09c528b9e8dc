//! A snapshot of the public surface: a change of it is seen in review.
//!
//! `PUBLIC_API=overwrite cargo test -p oauth2-actix-tests --test it public_api` writes the snapshot of today.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use quote::ToTokens;
use syn::{Fields, ImplItem, Item, TraitItem, UseTree, Visibility};

const SNAPSHOT: &str = include_str!("public_api.txt");

#[test]
fn public_surface_is_the_one_of_the_snapshot() {
    let surface = surface();
    if std::env::var_os("PUBLIC_API").is_some_and(|value| value == "overwrite") {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/house/public_api.txt");
        fs::write(file, &surface).unwrap();
        return;
    }
    let (before, after): (BTreeSet<_>, BTreeSet<_>) =
        (SNAPSHOT.lines().collect(), surface.lines().collect());
    let gone: Vec<_> = before.difference(&after).map(|line| format!("- {line}")).collect();
    let new: Vec<_> = after.difference(&before).map(|line| format!("+ {line}")).collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "the public surface differs from public_api.txt:\n{}",
        [gone, new].concat().join("\n")
    );
}

/// One line for each public item, method, field, variant and trait implementation.
fn surface() -> String {
    let crate_ = Crate::read();
    let mut lines = BTreeSet::new();
    let mut types = BTreeMap::new();
    for (name, path) in crate_.exports() {
        crate_.describe(&name, &path, &mut lines, &mut types);
    }
    for file in crate_.files.values() {
        for item in &file.items {
            let Item::Impl(block) = item else { continue };
            let target = last_name(&block.self_ty.to_token_stream().to_string());
            let Some(shown) = types.get(&target) else { continue };
            if is_hidden(&block.attrs) {
                continue;
            }
            if let Some((trait_, _)) = &block.trait_ {
                let generics = block.generics.to_token_stream();
                lines.insert(format!(
                    "{shown}: {}",
                    tidy(&format!("impl{generics} {}", trait_.to_token_stream()))
                ));
                continue;
            }
            for item in &block.items {
                match item {
                    ImplItem::Fn(function)
                        if is_public(&function.vis) && !is_hidden(&function.attrs) =>
                    {
                        lines.insert(format!(
                            "{shown}: {}",
                            tidy(&function.sig.to_token_stream().to_string())
                        ));
                    }
                    ImplItem::Const(constant) if is_public(&constant.vis) => {
                        lines.insert(format!("{shown}: const {}", constant.ident));
                    }
                    _ => {}
                }
            }
        }
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

struct Crate {
    /// By module path, such as `token::claims`.
    files: BTreeMap<String, syn::File>,
}

impl Crate {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../oauth2-actix/src");
        let mut paths = Vec::new();
        collect(&root, &mut paths);
        let files = paths.into_iter().map(|path| {
            let inside = path.strip_prefix(&root).unwrap().with_extension("");
            let parts: Vec<_> = inside.iter().map(|part| part.to_str().unwrap()).collect();
            let module = parts.join("::");
            let module = module.trim_end_matches("::mod").to_owned();
            let file = syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap();
            (module, file)
        });
        Self { files: files.collect() }
    }

    /// The public names of the root and of the public modules, each with the path of its definition.
    fn exports(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        self.exports_of("lib", "", &mut found);
        found
    }

    fn exports_of(&self, module: &str, prefix: &str, found: &mut Vec<(String, String)>) {
        let Some(file) = self.files.get(module) else { return };
        for item in &file.items {
            match item {
                Item::Use(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
                    for path in leaves(&item.tree, "") {
                        let name = path.rsplit("::").next().unwrap().to_owned();
                        let target = resolve(&path, module);
                        if self.files.contains_key(&target) {
                            self.exports_of(&target, &format!("{prefix}{name}::"), found);
                        } else {
                            found.push((format!("{prefix}{name}"), target));
                        }
                    }
                }
                Item::Mod(item)
                    if is_public(&item.vis)
                        && !is_hidden(&item.attrs)
                        && item.content.is_none() =>
                {
                    let inner = if module == "lib" {
                        item.ident.to_string()
                    } else {
                        format!("{module}::{}", item.ident)
                    };
                    self.exports_of(&inner, &format!("{prefix}{}::", item.ident), found);
                }
                item if module != "lib" => {
                    if let Some(name) = public_name(item) {
                        found.push((format!("{prefix}{name}"), format!("{module}::{name}")));
                    }
                }
                _ => {}
            }
        }
    }

    fn describe(
        &self,
        shown: &str,
        path: &str,
        lines: &mut BTreeSet<String>,
        types: &mut BTreeMap<String, String>,
    ) {
        let (module, name) = path.rsplit_once("::").unwrap_or(("", path));
        let item = self.files.get(module).and_then(|file| {
            file.items.iter().find(|item| public_name(item).is_some_and(|found| found == name))
        });
        let Some(item) = item else {
            lines.insert(format!("{shown}: re-export of {path}"));
            return;
        };
        match item {
            Item::Fn(function) => {
                lines.insert(format!(
                    "{shown}: {}",
                    tidy(&function.sig.to_token_stream().to_string())
                ));
            }
            Item::Struct(item) => {
                types.insert(name.to_owned(), shown.to_owned());
                lines.insert(format!(
                    "{shown}: struct{} {}",
                    item.generics.to_token_stream(),
                    derives(&item.attrs)
                ));
                for (index, field) in fields(&item.fields).into_iter().enumerate() {
                    if is_public(&field.vis) {
                        let field_name =
                            field.ident.as_ref().map_or(index.to_string(), ToString::to_string);
                        lines.insert(format!(
                            "{shown}: field {field_name}: {}",
                            tidy(&field.ty.to_token_stream().to_string())
                        ));
                    }
                }
            }
            Item::Enum(item) => {
                types.insert(name.to_owned(), shown.to_owned());
                lines.insert(format!("{shown}: enum {}", derives(&item.attrs)));
                for variant in &item.variants {
                    let inside: Vec<_> = fields(&variant.fields)
                        .iter()
                        .map(|field| tidy(&field.to_token_stream_without_docs()))
                        .collect();
                    lines.insert(format!(
                        "{shown}: variant {} {{{}}}",
                        variant.ident,
                        inside.join(", ")
                    ));
                }
            }
            Item::Trait(item) => {
                lines.insert(format!(
                    "{shown}: trait {}",
                    tidy(&item.supertraits.to_token_stream().to_string())
                ));
                for item in &item.items {
                    if let TraitItem::Fn(function) = item {
                        lines.insert(format!(
                            "{shown}: {}",
                            tidy(&function.sig.to_token_stream().to_string())
                        ));
                    }
                }
            }
            _ => {
                lines.insert(format!("{shown}: item"));
            }
        }
    }
}

trait WithoutDocs {
    fn to_token_stream_without_docs(&self) -> String;
}

impl WithoutDocs for syn::Field {
    fn to_token_stream_without_docs(&self) -> String {
        let ty = self.ty.to_token_stream();
        self.ident.as_ref().map_or_else(|| ty.to_string(), |name| format!("{name}: {ty}"))
    }
}

fn fields(fields: &Fields) -> Vec<&syn::Field> {
    fields.iter().collect()
}

/// The paths of a `use` tree.
fn leaves(tree: &UseTree, prefix: &str) -> Vec<String> {
    match tree {
        UseTree::Path(path) => leaves(&path.tree, &format!("{prefix}{}::", path.ident)),
        UseTree::Name(name) if name.ident == "self" => {
            vec![prefix.trim_end_matches("::").to_owned()]
        }
        UseTree::Name(name) => vec![format!("{prefix}{}", name.ident)],
        UseTree::Rename(rename) => vec![format!("{prefix}{}", rename.rename)],
        UseTree::Glob(_) => vec![format!("{prefix}*")],
        UseTree::Group(group) => group.items.iter().flat_map(|tree| leaves(tree, prefix)).collect(),
    }
}

/// A path from the crate's root.
fn resolve(path: &str, module: &str) -> String {
    if let Some(path) = path.strip_prefix("crate::") {
        path.to_owned()
    } else if let Some(path) = path.strip_prefix("self::") {
        format!("{module}::{path}")
    } else if let Some(path) = path.strip_prefix("super::") {
        module.rsplit_once("::").map_or(path.to_owned(), |(parent, _)| format!("{parent}::{path}"))
    } else {
        path.to_owned()
    }
}

fn public_name(item: &Item) -> Option<String> {
    let (visibility, attributes, name) = match item {
        Item::Fn(item) => (&item.vis, &item.attrs, &item.sig.ident),
        Item::Struct(item) => (&item.vis, &item.attrs, &item.ident),
        Item::Enum(item) => (&item.vis, &item.attrs, &item.ident),
        Item::Trait(item) => (&item.vis, &item.attrs, &item.ident),
        Item::Type(item) => (&item.vis, &item.attrs, &item.ident),
        Item::Const(item) => (&item.vis, &item.attrs, &item.ident),
        _ => return None,
    };
    (is_public(visibility) && !is_hidden(attributes)).then(|| name.to_string())
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_hidden(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.to_token_stream().to_string();
        text.contains("doc (hidden)")
            || text.contains("cfg (test)")
            || text.contains("cfg (any (test")
    })
}

/// The derived traits, and `non_exhaustive`.
fn derives(attributes: &[syn::Attribute]) -> String {
    let mut found = BTreeSet::new();
    for attribute in attributes {
        if attribute.path().is_ident("non_exhaustive") {
            found.insert("non_exhaustive".to_owned());
        }
        if let (true, syn::Meta::List(list)) =
            (attribute.path().is_ident("derive"), &attribute.meta)
        {
            found.extend(list.tokens.to_string().split(',').map(|name| last_name(name.trim())));
        }
    }
    let found: Vec<_> = found.into_iter().collect();
    found.join(" ")
}

/// `Claims` of `crate :: token :: Claims < T >`.
fn last_name(path: &str) -> String {
    let path = path.split('<').next().unwrap();
    path.rsplit("::").next().unwrap().trim().to_owned()
}

/// Tokens without the spaces that their printing adds.
fn tidy(tokens: &str) -> String {
    let text = tokens.split_whitespace().collect::<Vec<_>>().join(" ");
    [
        (" :: ", "::"),
        (":: ", "::"),
        (" < ", "<"),
        ("< ", "<"),
        (" >", ">"),
        (" ,", ","),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        ("& ", "&"),
        (" : ", ": "),
        ("' ", "'"),
        (" ;", ";"),
    ]
    .iter()
    .fold(text, |text, (from, to)| text.replace(from, to))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
