//! The code of `docs/recipes.md`, with a test for each recipe and one that compares the page with this code,
//! and tests of `docs/operations.md` and `deploy`.

#[cfg(test)]
mod development;
#[cfg(test)]
mod downstream;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod extractor;
#[cfg(test)]
mod handlers;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod page;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod spans;
#[cfg(test)]
mod text_claims;
#[cfg(test)]
mod users;
