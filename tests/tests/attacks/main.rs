//! What attackers do to software such as this: one test for each known attack, named by it and by its ids, over
//! real HTTP and real WebSocket.
//!
//! Each attack must be answered to the letter (status, every header, body; close code and reason), with nothing of
//! what was sent in the answer, no handler run, and a good token served by the same server afterwards.
//!
//! | Module | What |
//! | --- | --- |
//! | `signatures` | header and signature |
//! | `claims` | claims, and what they permit |
//! | `keys` | keys, their fetching and their caches |
//! | `spiffe` | JWT-SVIDs |
//! | `exhaustion` | size |
//! | `paths` | public paths, methods, headers, dependencies |
//! | `websocket` | upgrades |
//! | `own_stack` | traps in the libraries below |
//! | `peers` | defects seen in other crates of this kind |
//! | `truth_tables` | every nesting of demands |
//! | `properties` | decisions against a reference, on made-up input |
//! | `leaks` | no token in any log |
//! | `bounded` | memory, descriptors, threads |
//! | `wycheproof` | its classes of signatures and keys |
//!
//! What cannot apply, or not here:
//!
//! | Attack | Why |
//! | --- | --- |
//! | inflation of JWE, iterations of PBES2, JSON serialisation | those entry points of josekit are never called; they are sent all the same, and refused |
//! | HMAC compared in variable time | no answer shows it: `hmac` of the library compares with `memcmp::eq`, and has its own test |
//! | cross-site WebSocket hijacking | no cookie is ever read as a token; `websocket` sends some |
//! | a token in the WebSocket subprotocol opens a session | tokens are taken from `Authorization` alone; one in the subprotocol is neither accepted nor echoed |
//! | a session outlives its token, or its timer outlives the session | there is no session helper yet: a handler's session is its own |
//! | a cache of verified tokens that takes one for another (CVE-2026-35039) | there is no such cache; what it would confuse is sent all the same |
//! | dependencies with known holes | `paths` looks at the lock file for those that are named, cargo-deny for the rest |
//! | `Compress` outside sends broken chunks | actix's own, for any answer; a refusal has its length |
//! | Wycheproof's own vectors | their payloads are no claims; see `wycheproof` |

#![allow(missing_docs, clippy::unwrap_used)]

mod bounded;
mod claims;
mod exhaustion;
mod hmac;
mod key_thread;
mod keys;
mod leaks;
mod own_stack;
mod paths;
mod peers;
mod properties;
mod signatures;
mod spiffe;
mod target;
mod truth_tables;
mod websocket;
mod wycheproof;
