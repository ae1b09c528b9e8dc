# The commands of this repository. `just` lists them.

default:
    @just --list --unsorted

# Formatting, lints, docs, minimum Rust version, contents of the package; warnings are errors.
check:
    .ci/check

# Every test that needs neither network nor services (README's second command).
test:
    .ci/test

# The tests without default features, without the token cache, with OpenSSL; fuzz corpora, replayed.
test-variants:
    .ci/test-variants

# Licences, sources, bans and advisories of the dependencies.
deny:
    .ci/deny

# The examples, and the lines that they print.
examples:
    .ci/examples

# Bounds that do not depend on the speed of the machine: simulated figures, instructions of a request.
bounds:
    .ci/bounds

# The stores on Redis, with servers that the tests start. Needs redis-server and redis-sentinel.
redis:
    .ci/redis

# A certified identity provider, a real browser and WebSocket clients, from npm and Debian.
e2e:
    .ci/e2e

# Client certificates behind nginx and HAProxy, from Debian.
proxies:
    .ci/proxies

# Times of requests, in process, on this machine. bench/README.md lists the other measurements.
bench *arguments:
    cargo bench -p oauth2-actix-bench -- {{arguments}}

# The gate: all of the above except `bench`; as root on Debian.
ci:
    .ci/run
