//! Generates `COST_ROUTES` handlers, each once with `#[public]` and once without.

use std::{env, fmt::Write as _, fs, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=COST_MODULES");
    println!("cargo::rerun-if-env-changed=COST_ROUTES");
    println!("cargo::rerun-if-changed=build.rs");
    let routes: usize =
        env::var("COST_ROUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let mut code = String::new();
    for (module, attribute) in [("marked", "#[public]"), ("plain", "")] {
        let _ = writeln!(code, "pub(crate) mod {module} {{\nuse super::*;");
        let mut services = String::new();
        for index in 0..routes {
            // Every second pattern is dynamic.
            let pattern =
                if index % 2 == 0 { format!("/r{index}/x") } else { format!("/r{index}/{{id}}") };
            let _ = writeln!(
                code,
                "{attribute}\n#[get(\"{pattern}\")]\nasync fn h{index}() -> &'static str {{ \"x\" }}"
            );
            let _ = writeln!(services, "config.service(h{index});");
        }
        let _ = writeln!(
            code,
            "pub(crate) fn configure(config: &mut web::ServiceConfig) {{ let _ = &config; {services} }}\n}}"
        );
    }
    let _ = writeln!(code, "pub(crate) const ROUTES: usize = {routes};");
    modules(&mut code);
    let directory = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(directory.join("routes.rs"), code).expect("written");
}

/// Adds `COST_MODULES` modules of two public routes, with the same patterns in each module, before 200
/// private routes.
fn modules(code: &mut String) {
    let modules: usize =
        env::var("COST_MODULES").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut services = String::new();
    for index in 0..modules {
        let _ = writeln!(
            code,
            "mod m{index} {{\nuse super::*;\n#[public]\n#[get(\"\")]\npub(crate) async fn list() -> &'static str {{ \"x\" }}\n\
             #[public]\n#[get(\"/{{id}}\")]\npub(crate) async fn one() -> &'static str {{ \"x\" }}\n}}"
        );
        let _ = writeln!(
            services,
            "config.service(web::scope(\"/m{index}\").service(m{index}::list).service(m{index}::one));"
        );
    }
    for index in 0..if modules == 0 { 0 } else { 200 } {
        let _ = writeln!(services, "config.route(\"/p{index}/{{id}}\", web::get().to(last));");
    }
    let _ = writeln!(
        code,
        "pub(crate) fn crud(config: &mut web::ServiceConfig) {{ let _ = &config; {services} }}"
    );
}
