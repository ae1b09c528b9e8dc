//! Whether the tokens of a provider are bound to their client.

/// Whether tokens of a provider are bound to a key or a certificate of the client, so that a stolen one is useless:
/// see [`Provider::dpop`](crate::Provider::dpop) and [`Provider::certificate_bound`](crate::Provider::certificate_bound).
///
/// A token that is bound to a DPoP key is accepted only with its proof, whatever the settings. One that is bound to a
/// certificate is accepted only with it, or with the proof of a DPoP key that it is bound to as well.
///
/// ```
/// use oauth2_actix::{Binding, Provider};
///
/// let provider = Provider::new().dpop(Binding::Required);
/// # drop(provider);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Binding {
    /// The proof is not checked, so that bound tokens are rejected. In serde `"off"`.
    #[default]
    Off,
    /// Bound tokens are accepted with their proof, others as bearer tokens. In serde `"allowed"`.
    Allowed,
    /// Only bound tokens are accepted. In serde `"required"`.
    Required,
}

impl Binding {
    pub(crate) fn is_on(self) -> bool {
        self != Self::Off
    }
}
