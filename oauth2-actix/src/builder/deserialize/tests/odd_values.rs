//! Values that are wrong for most settings.

use serde_json::{Value, json};

/// Returns values that few or no settings accept.
pub(super) fn odd_values() -> Vec<Value> {
    vec![
        json!(0),
        json!(-1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(1e-308),
        json!(0.5),
        json!(true),
        json!(""),
        json!(" "),
        json!("text"),
        json!("{"),
        json!("{}"),
        json!("["),
        json!("[[]]"),
        json!("18446744073709551616"),
        json!("0.00000000000000000001"),
        json!([]),
        json!([null]),
        json!([[]]),
        json!([1.5, {}]),
        json!({}),
        json!({"a": null}),
        json!({"a": {"a": {"a": [0]}}}),
        json!({"discover": {}, "file": 7}),
    ]
}
