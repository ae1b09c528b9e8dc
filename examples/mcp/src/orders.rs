//! The orders of the example, in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rmcp::schemars::{self, JsonSchema};
use serde::Serialize;

/// All orders, by number. A clone has the same orders.
#[derive(Clone, Debug)]
pub struct Orders(Arc<Mutex<BTreeMap<u32, Order>>>);

/// An order.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Order {
    number: u32,
    item: String,
    cents: u32,
    refunded: bool,
}

impl Orders {
    /// Returns a copy of all orders.
    #[must_use]
    pub fn list(&self) -> Vec<Order> {
        self.lock().values().cloned().collect()
    }

    /// Returns the price of an order.
    #[must_use]
    pub fn cents(&self, number: u32) -> Option<u32> {
        self.lock().get(&number).map(|order| order.cents)
    }

    /// Refunds an order, and returns it; `None` if there is no such order.
    #[must_use]
    pub fn refund(&self, number: u32) -> Option<Order> {
        let mut orders = self.lock();
        let order = orders.get_mut(&number)?;
        order.refunded = true;
        Some(order.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Order>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Orders {
    fn default() -> Self {
        let items = [("lamp", 4_900), ("chair", 12_900), ("desk", 34_900)];
        let orders = (1..).zip(items).map(|(number, (item, cents))| {
            (number, Order { number, item: item.to_owned(), cents, refunded: false })
        });
        Self(Arc::new(Mutex::new(orders.collect())))
    }
}
