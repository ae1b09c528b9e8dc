//! The objects in `authorization_details` (RFC 9396 §9).

use serde_json::Value;

use crate::token::claims::Claims;

impl Claims {
    /// Returns the objects of this `type` in `authorization_details`
    /// ([RFC 9396 §9.1](https://www.rfc-editor.org/rfc/rfc9396#section-9.1)) that are meant for this API.
    ///
    /// ```
    /// # use oauth2_actix::testing;
    /// let claims = testing::claims(serde_json::json!({
    ///     "authorization_details": [{"type": "payment_initiation", "instructedAmount": {"amount": "123.50"}}],
    /// }));
    /// let payment = claims.authorization_details("payment_initiation").next().unwrap();
    /// assert_eq!(payment["instructedAmount"]["amount"], "123.50");
    /// ```
    ///
    /// Empty if the claim is malformed: if it is no list, or if one of its elements is no object or has no `type`
    /// that is a text. An object with `locations` is meant for this API only if that is a list of texts with one
    /// of its resource identifiers. `claims.get("authorization_details")` is the whole claim.
    pub fn authorization_details<'a>(
        &'a self,
        detail_type: &'a str,
    ) -> impl Iterator<Item = &'a Value> {
        let details = self.get("authorization_details").and_then(well_formed).unwrap_or_default();
        let resources = &self.verified().by.rules.resources;
        details
            .iter()
            .filter(move |detail| detail.get("type").and_then(Value::as_str) == Some(detail_type))
            .filter(|detail| is_meant_for(detail, resources))
    }
}

/// Returns the elements of a list in which each is an object with a `type` (RFC 9396 §2).
fn well_formed(details: &Value) -> Option<&[Value]> {
    let details = details.as_array()?;
    let has_type = |detail: &Value| detail.get("type").is_some_and(Value::is_string);
    details.iter().all(has_type).then_some(details)
}

/// Returns whether a detail is for one of these resources (RFC 9396 §2.2).
fn is_meant_for(detail: &Value, resources: &[String]) -> bool {
    match detail.get("locations") {
        None => true,
        Some(Value::Array(locations)) => {
            locations.iter().all(Value::is_string)
                && locations
                    .iter()
                    .filter_map(Value::as_str)
                    .any(|location| resources.iter().any(|resource| resource == location))
        }
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::{
        json::object::Object,
        token::{rules::Rules, verified::VerifiedToken},
    };

    fn found(details: Value, resources: &[&str]) -> Vec<Value> {
        let mut verified =
            VerifiedToken::of("p", Object::of(json!({"authorization_details": details})));
        let resources = resources.iter().map(|resource| (*resource).to_owned()).collect();
        verified.by.rules = Arc::new(Rules { resources, ..Rules::default() });
        Claims::new(verified).authorization_details("pay").cloned().collect()
    }

    #[test]
    fn details_are_found_by_their_whole_type() {
        let details = json!([
            {"type": "pay", "n": 1}, {"type": "payment"}, {"type": "PAY"}, {"type": "pay", "n": 2},
            {"type": ""}, {"type": "pa"},
        ]);
        assert_eq!(
            found(details, &[]),
            [json!({"type": "pay", "n": 1}), json!({"type": "pay", "n": 2})]
        );
        assert!(found(json!([]), &[]).is_empty());
    }

    #[test]
    fn malformed_list_has_no_details() {
        for details in [
            json!(null),
            json!({"type": "pay"}),
            json!("pay"),
            json!([[{"type": "pay"}]]),
            json!([{"type": "pay"}, null]),
            json!([{"type": "pay"}, {}]),
            json!([{"type": "pay"}, {"type": ["pay"]}]),
            json!([{"type": "pay"}, "pay"]),
            json!([{"type": "pay"}, []]),
            json!([{"type": ["pay"]}]),
            json!([{"type": null}]),
            json!([{"Type": "pay"}]),
        ] {
            assert!(found(details.clone(), &["https://api"]).is_empty(), "{details}");
        }
    }

    #[test]
    fn detail_with_locations_is_for_the_resources_among_them() {
        let with = |locations: Value| json!([{"type": "pay", "locations": locations}]);
        for locations in [json!(["https://api"]), json!(["https://other", "https://api"])] {
            assert_eq!(found(with(locations.clone()), &["https://api"]).len(), 1, "{locations}");
            assert!(found(with(locations.clone()), &[]).is_empty(), "{locations}");
            let both = found(with(locations), &["https://x", "https://api"]);
            assert_eq!(both.len(), 1);
        }
        for locations in [
            json!([]),
            json!(null),
            json!("https://api"),
            json!({"https://api": true}),
            json!(["https://api", 7]),
            json!(["https://api", null]),
            json!([["https://api"]]),
            json!(["https://api/"]),
            json!(["https://API"]),
            json!(["https://api.evil.example"]),
            json!(["https://ap"]),
            json!(["https://other"]),
        ] {
            assert!(found(with(locations.clone()), &["https://api"]).is_empty(), "{locations}");
        }
        // Only the detail grants nothing, not those beside it.
        let details = json!([{"type": "pay", "locations": ["x"]}, {"type": "pay", "n": 1}]);
        assert_eq!(found(details, &["https://api"]), [json!({"type": "pay", "n": 1})]);
    }
}
