# The commands of a working day. `.ci/run` runs the same ones, and the end-to-end suites.

default: check test

# Formatting, clippy, docs.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps

# Everything that needs neither network nor services.
test:
    cargo test --workspace

# A certified identity provider, a real browser, and WebSocket clients, from npm and Debian.
e2e:
    cargo build
    cd e2e && npm ci && npm run oidc && npm run browser && npm run cors && npm run websocket

# What requests cost, in process, on this machine.
bench:
    cargo bench -p oauth2-actix-bench

# Licences, sources, advisories.
deny:
    cargo deny check

# The whole gate; as root on Debian.
ci:
    .ci/run
