// Checks that no dependency of the library requires a later Rust version than the library, which has that of
// actix-web. Clippy's incompatible_msrv checks the library's own code.
import { execFileSync } from "node:child_process";

const options = ["metadata", "--format-version=1", "--locked", "--filter-platform=x86_64-unknown-linux-gnu"];
const metadata = JSON.parse(execFileSync("cargo", options, { maxBuffer: 1 << 28 }));
const packages = new Map(metadata.packages.map((p) => [p.id, p]));
const nodes = new Map(metadata.resolve.nodes.map((n) => [n.id, n]));
const root = metadata.packages.find((p) => p.name === "oauth2-actix");
const minor = (version) => Number(version.split(".")[1]);

const reached = new Set();
const visit = (id) => {
    if (reached.has(id)) return;
    reached.add(id);
    for (const dep of nodes.get(id).deps) {
        if (dep.dep_kinds.some((kind) => kind.kind !== "dev")) visit(dep.pkg);
    }
};
visit(root.id);

const actix = [...reached].map((id) => packages.get(id)).find((p) => p.name === "actix-web");
const newer = [...reached]
    .map((id) => packages.get(id))
    .filter((p) => p.rust_version && minor(p.rust_version) > minor(root.rust_version));
for (const p of newer) console.error(`${p.name} ${p.version} requires Rust ${p.rust_version}, expected at most ${root.rust_version}`);
if (minor(actix.rust_version) !== minor(root.rust_version)) {
    console.error(`actix-web requires Rust ${actix.rust_version}, oauth2-actix ${root.rust_version}: expected the same`);
    newer.push(actix);
}
console.log(`${reached.size} packages, at most Rust ${root.rust_version}: ${newer.length === 0 ? "yes" : "no"}`);
process.exit(newer.length === 0 ? 0 : 1);
