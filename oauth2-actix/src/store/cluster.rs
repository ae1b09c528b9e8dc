//! The servers of a Cluster, and the slots that they have.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use redis::Value;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    store::{
        address::{Address, Endpoint},
        buckets::{Bucket, COUNT},
        connection::Unavailable,
        link::{Wire, text},
        node::{Location, Node, backoff},
        thread::Shared,
    },
    util::{clock::Clock, log_rate::Throttle, units::Unit},
};

pub(super) struct Cluster {
    seeds: Vec<Endpoint>,
    state: watch::Sender<State>,
    nodes: RefCell<HashMap<Address, Member>>,
    /// The server of each bucket.
    buckets: RefCell<Vec<Option<Rc<Node>>>>,
    changed: Rc<Notify>,
    outages: Throttle,
}

struct Member {
    node: Rc<Node>,
    supervisor: JoinHandle<()>,
}

enum State {
    Connecting,
    Known,
    Down(Arc<str>),
}

/// The slots of one master.
struct Range {
    first: u16,
    last: u16,
    address: Address,
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Endpoint>) -> Self {
        Self {
            seeds,
            state: watch::Sender::new(State::Connecting),
            nodes: RefCell::default(),
            buckets: RefCell::new(vec![None; COUNT.into()]),
            changed: Rc::default(),
            outages: Throttle::new(Clock::System),
        }
    }

    /// Returns the server of a bucket, after the first response of the Cluster.
    pub(super) async fn node(&self, bucket: Bucket) -> Result<Rc<Node>, Unavailable> {
        let mut state = self.state.subscribe();
        let state = state.wait_for(|state| !matches!(state, State::Connecting)).await;
        match state.as_deref() {
            Ok(State::Known) => self.buckets.borrow()[bucket.index()].clone().ok_or_else(|| {
                Unavailable::Down("no server of the Cluster has the slot of the key".into())
            }),
            Ok(State::Down(cause)) => Err(Unavailable::Down(Arc::clone(cause))),
            Ok(State::Connecting) | Err(_) => Err(Unavailable::Ended),
        }
    }

    pub(super) fn nodes(&self) -> Vec<Rc<Node>> {
        self.nodes.borrow().values().map(|member| Rc::clone(&member.node)).collect()
    }

    pub(super) fn is_ready(&self) -> bool {
        let is_up = |node: &Option<Rc<Node>>| node.as_ref().is_some_and(|node| node.up().is_some());
        self.buckets.borrow().iter().all(is_up)
    }

    /// Reads which servers have which slots: at first, after a failure, and from time to time.
    pub(super) async fn supervise(self: Rc<Self>, shared: Rc<Shared>) {
        let (mut failures, mut is_logged) = (0_u32, false);
        loop {
            match self.read(&shared).await {
                Ok(ranges) => {
                    failures = 0;
                    if std::mem::take(&mut is_logged) {
                        tracing::info!(
                            target: "oauth2_actix",
                            server = %self.seeds[0].address,
                            "Redis can be used again"
                        );
                    }
                    self.apply(&ranges, &shared);
                    self.state.send_replace(State::Known);
                    // Many servers can report a change at once.
                    sleep(MIN_INTERVAL).await;
                    let _ = timeout(INTERVAL, self.changed.notified()).await;
                }
                Err(cause) => {
                    failures = failures.saturating_add(1);
                    if !is_logged && self.outages.allows() {
                        is_logged = true;
                        tracing::warn!(
                            target: "oauth2_actix",
                            server = %self.seeds[0].address,
                            %cause,
                            "Redis cannot be used: no server of the Cluster tells which servers it has"
                        );
                    }
                    // The known servers may still respond.
                    self.state.send_if_modified(|state| {
                        let is_unknown = !matches!(state, State::Known);
                        if is_unknown {
                            *state = State::Down(cause);
                        }
                        is_unknown
                    });
                    sleep(backoff(failures)).await;
                }
            }
        }
    }

    /// Queries the servers, one after the other, until one responds.
    async fn read(&self, shared: &Shared) -> Result<Vec<Range>, Arc<str>> {
        let known: Vec<Address> = self.nodes.borrow().keys().cloned().collect();
        let seeds = self.seeds.iter().map(|seed| seed.address.clone());
        let (mut asked, mut cause) = (HashSet::new(), Arc::from("there is no server"));
        let limit = shared.settings.connection_timeout;
        for address in known.into_iter().chain(seeds) {
            if !asked.insert(address.clone()) {
                continue;
            }
            let ranges = timeout(limit, async {
                let access = &self.seeds[0].access;
                let wire = Wire::open(&address, access, &shared.settings).await?;
                let answer: Value = wire
                    .ask(redis::cmd("CLUSTER").arg("SLOTS"))
                    .await
                    .map_err(|error| text(&error))?;
                ranges(&answer, &address.host)
            });
            let problem: Arc<str> = match ranges.await {
                Ok(Ok(ranges)) => return Ok(ranges),
                Ok(Err(problem)) => problem,
                Err(_) => format!("no response within {}", Unit(limit)).into(),
            };
            cause = format!("{address}: {problem}").into();
        }
        Err(cause)
    }

    /// Starts and removes servers, and assigns the buckets.
    fn apply(self: &Rc<Self>, ranges: &[Range], shared: &Rc<Shared>) {
        let address_of = |bucket: Bucket| {
            let slot = bucket.slot();
            let range = ranges.iter().find(|range| (range.first..=range.last).contains(&slot));
            range.map(|range| range.address.clone())
        };
        let mut wanted: HashMap<Address, Vec<Bucket>> = HashMap::new();
        for bucket in Bucket::all() {
            if let Some(address) = address_of(bucket) {
                wanted.entry(address).or_default().push(bucket);
            }
        }
        let mut nodes = self.nodes.borrow_mut();
        nodes.retain(|address, member| {
            let is_wanted = wanted.contains_key(address);
            if !is_wanted {
                member.supervisor.abort();
                member.node.remove();
            }
            is_wanted
        });
        let mut buckets = vec![None; COUNT.into()];
        for (address, its_buckets) in wanted {
            let member = nodes.entry(address).or_insert_with_key(|address| {
                let access = self.seeds[0].access.clone();
                let location = Location::Fixed(Endpoint { address: address.clone(), access });
                let changed = Some(Rc::clone(&self.changed));
                let node = Rc::new(Node::new(location, its_buckets.clone(), changed));
                let supervisor =
                    tokio::task::spawn_local(Rc::clone(&node).supervise(Rc::clone(shared)));
                Member { node, supervisor }
            });
            for bucket in &its_buckets {
                buckets[bucket.index()] = Some(Rc::clone(&member.node));
            }
            let before = member.node.buckets.replace(its_buckets.clone());
            let added: Vec<Bucket> =
                its_buckets.into_iter().filter(|bucket| !before.contains(bucket)).collect();
            if !added.is_empty()
                && let Some(link) = member.node.up()
            {
                shared.mark_later(&member.node, &link, shared.stores(), added);
            }
        }
        drop(nodes);
        self.buckets.replace(buckets);
        shared.update_readiness();
    }
}

/// Reads the response to `CLUSTER SLOTS`. A server that does not know its own host has that of the connection.
fn ranges(answer: &Value, host: &str) -> Result<Vec<Range>, Arc<str>> {
    let unexpected = || Arc::from("the response to CLUSTER SLOTS has an unexpected form");
    let Value::Array(rows) = answer else { return Err(unexpected()) };
    let read = |row: &Value| {
        let Value::Array(cells) = row else { return None };
        let number = |cell: &Value| match cell {
            Value::Int(number) => u16::try_from(*number).ok(),
            _ => None,
        };
        let (first, last) = (number(cells.first()?)?, number(cells.get(1)?)?);
        let Value::Array(master) = cells.get(2)? else { return None };
        let named: Option<String> = redis::from_redis_value_ref(master.first()?).ok()?;
        let host = named.filter(|named| !named.is_empty()).unwrap_or_else(|| host.to_owned());
        Some(Range { first, last, address: Address { host, port: number(master.get(1)?)? } })
    };
    rows.iter().map(|row| read(row).ok_or_else(unexpected)).collect()
}

/// The least time between two readings.
const MIN_INTERVAL: Duration = Duration::from_millis(200);
/// The time between two readings without a reason.
const INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read_with_the_host_of_the_connection_where_none_is_named() {
        let server = |host: Value, port| Value::Array(vec![host, Value::Int(port)]);
        let named = Value::BulkString(b"10.0.0.2".to_vec());
        let row =
            |first, last, server| Value::Array(vec![Value::Int(first), Value::Int(last), server]);
        let answer = Value::Array(vec![
            row(0, 99, server(named, 7001)),
            row(100, 16_383, server(Value::Nil, 7002)),
            row(5, 5, server(Value::BulkString(vec![]), 7003)),
        ]);
        let ranges = ranges(&answer, "10.0.0.1").unwrap();
        let found: Vec<_> = ranges
            .iter()
            .map(|range| (range.first, range.last, range.address.to_string()))
            .collect();
        let expected = [
            (0, 99, "10.0.0.2:7001".to_owned()),
            (100, 16_383, "10.0.0.1:7002".to_owned()),
            (5, 5, "10.0.0.1:7003".to_owned()),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn other_responses_are_rejected() {
        for answer in [
            Value::Nil,
            Value::Array(vec![Value::Nil]),
            Value::Array(vec![Value::Array(vec![Value::Int(0), Value::Int(70_000)])]),
        ] {
            assert!(ranges(&answer, "x").is_err(), "{answer:?}");
        }
    }
}
