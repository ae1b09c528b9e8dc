//! A day of tokens, entries and outages, in simulated time: no revoked token is accepted for longer than stated, and no
//! other token is rejected except as stated.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use oauth2_actix::{
    ErrorKind, OAuth2,
    revocation::{
        DenyList, LoadedEntries, Revocation, RevocationEntry, RevocationStore, RevokeError,
        StoreError, WhenUnavailable,
    },
    testing::ManualClock,
};
use oauth2_actix_tests::wait::{self, PATIENCE};

use super::{ISSUER, OTHER, Shared, builder, kind, sign, time, token};

/// Between two steps, each process loads the list once.
const STEP: u64 = 10;
const DAY: u64 = 24 * 60 * 60;
/// Tokens live for 5 minutes to 2 hours.
const LONGEST_LIFE: u64 = 2 * 60 * 60;

/// SplitMix64: the same numbers in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// The connection of one process to the store that all share. It has no notices.
#[derive(Clone)]
struct Connection {
    store: Shared,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_down: AtomicBool,
    loads: AtomicUsize,
}

impl Connection {
    fn loads(&self) -> usize {
        self.state.loads.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), StoreError> {
        match self.state.is_down.load(Ordering::SeqCst) {
            true => Err("the connection is down".into()),
            false => Ok(()),
        }
    }
}

impl RevocationStore for Connection {
    fn add(&self, entry: RevocationEntry) -> BoxFuture<'static, Result<(), StoreError>> {
        let (add, checked) = (self.store.inner().add(entry), self.check());
        async move {
            checked?;
            add.await
        }
        .boxed()
    }

    fn load(&self, after: Option<&[u8]>) -> BoxFuture<'static, Result<LoadedEntries, StoreError>> {
        let (load, checked) = (self.store.inner().load(after), self.check());
        self.state.loads.fetch_add(1, Ordering::SeqCst);
        async move {
            checked?;
            load.await
        }
        .boxed()
    }
}

struct Process {
    oauth2: OAuth2,
    connection: Connection,
    is_down: bool,
    /// How often it had tried to load the list before this step.
    loads: usize,
    /// The second of the last load that has succeeded.
    loaded_at: u64,
}

struct Issued {
    text: String,
    issuer: &'static str,
    jti: String,
    sub: String,
    sid: String,
    client: String,
    iat: u64,
    exp: u64,
}

/// An entry as it was requested.
struct Entry {
    issuer: &'static str,
    /// Which claim, and its value. None for all of the issuer.
    claim: Option<(usize, String)>,
    issued_before: Option<u64>,
    until: u64,
    /// The process that has added it.
    by: usize,
    /// When each process has loaded it, at the latest.
    known_at: [Option<u64>; 2],
    /// Since when the store has it.
    stored_at: Option<u64>,
}

impl Entry {
    fn revokes(&self, token: &Issued, now: u64) -> bool {
        let claims = [&token.jti, &token.sub, &token.sid, &token.client];
        let is_named = match &self.claim {
            None => true,
            Some((claim, value)) => claims[*claim] == value,
        };
        self.issuer == token.issuer
            && is_named
            && now < self.until
            && self.issued_before.is_none_or(|time| token.iat <= time)
    }
}

impl Entry {
    fn covers(
        &self,
        issuer: &str,
        claim: &Option<(usize, String)>,
        issued_before: Option<u64>,
        until: u64,
    ) -> bool {
        let of_any_time = self.issued_before.is_none();
        self.issuer == issuer
            && self.claim == *claim
            && (of_any_time || issued_before.is_some_and(|time| Some(time) <= self.issued_before))
            && self.until >= until
    }
}

#[derive(Debug, Default)]
struct Counts {
    entries: usize,
    not_stored: usize,
    accepted: usize,
    revoked: usize,
    /// Revoked tokens that a process accepted because the entry had not reached it.
    revoked_and_accepted: usize,
    /// The longest time after the store had the entry, in seconds.
    longest: u64,
    unavailable: usize,
    restarts: usize,
    losses: usize,
}

struct Day {
    when: WhenUnavailable,
    /// How old a list may be, in seconds.
    bound: u64,
    random: Random,
    clock: ManualClock,
    store: Shared,
    processes: Vec<Process>,
    tokens: Vec<Issued>,
    entries: Vec<Entry>,
    /// Whether the store has lost its data, and the processes have not loaded it since.
    has_lost: bool,
    counts: Counts,
}

impl Day {
    async fn begin(when: WhenUnavailable, bound: u64) -> Self {
        let (clock, store) = (ManualClock::new(), Shared::default());
        let mut day = Self {
            when,
            bound,
            random: Random(19),
            has_lost: false,
            clock,
            store,
            processes: Vec::new(),
            tokens: Vec::new(),
            entries: Vec::new(),
            counts: Counts::default(),
        };
        for _ in 0..2 {
            let process = day.start_process();
            day.processes.push(process);
        }
        day.settle();
        day
    }

    fn now(&self) -> u64 {
        self.clock.unix_seconds()
    }

    fn start_process(&self) -> Process {
        let connection = Connection { store: self.store.clone(), state: Arc::default() };
        let deny_list = DenyList::with_store(connection.clone())
            .when_unavailable(self.when)
            .token_lifetime(Duration::from_secs(LONGEST_LIFE));
        let oauth2 = builder().clock(self.clock.clone()).deny_list(deny_list).build().unwrap();
        Process { oauth2, connection, is_down: false, loads: 0, loaded_at: 0 }
    }

    /// Waits until each process has loaded the list at this time, or has failed to, and has stored what it had to.
    fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let now = self.now();
        for (index, process) in self.processes.iter_mut().enumerate() {
            loop {
                let status = process.oauth2.deny_list_status().unwrap();
                let is_settled = if process.is_down {
                    !status.is_reachable && process.connection.loads() > process.loads
                } else {
                    status.is_reachable && status.age_seconds == Some(0.0) && status.unsaved == 0
                };
                if is_settled {
                    break;
                }
                assert!(Instant::now() < deadline, "{status:?}");
                std::thread::yield_now();
            }
            if !process.is_down {
                process.loaded_at = now;
                // What the store had before this step.
                for entry in self.entries.iter_mut().filter(|entry| entry.stored_at.is_some()) {
                    entry.known_at[index].get_or_insert(now);
                }
            }
        }
        for entry in &mut self.entries {
            if !self.processes[entry.by].is_down {
                entry.stored_at.get_or_insert(now);
            }
        }
    }

    fn step(&mut self) {
        for process in &mut self.processes {
            process.loads = process.connection.loads();
        }
        self.clock.advance(Duration::from_secs(STEP));
        self.settle();
        self.has_lost = false;
        let now = self.now();
        self.tokens.retain(|token| now < token.exp);
        self.entries.retain(|entry| now < entry.until);
    }

    fn issue(&mut self) {
        let (random, now) = (&mut self.random, self.clock.unix_seconds());
        let life = 300 + random.below(LONGEST_LIFE - 300);
        let issuer = if random.one_in(4) { OTHER } else { ISSUER };
        let of = |kind: &str, number: u64| format!("{kind}-{number}");
        let (jti, sub) = (of("jti", random.next()), of("sub", random.below(60)));
        let (sid, client) = (of("sid", random.below(200)), of("client", random.below(8)));
        let text = sign(
            &token()
                .claim("iss", issuer)
                .claim("jti", jti.as_str())
                .claim("sub", sub.as_str())
                .claim("sid", sid.as_str())
                .claim("client_id", client.as_str())
                .claim("iat", now)
                .claim("exp", now + life),
        );
        self.tokens.push(Issued { text, issuer, jti, sub, sid, client, iat: now, exp: now + life });
    }

    /// Revokes one of the tokens, or others with it.
    async fn revoke(&mut self) {
        let (random, now) = (&mut self.random, self.clock.unix_seconds());
        let token = &self.tokens[random.below(self.tokens.len() as u64) as usize];
        let (issuer, by) = (token.issuer, random.below(2) as usize);
        let (claim, value) = match random.below(100) {
            0..70 => (Some(0), &token.jti),
            70..85 => (Some(1), &token.sub),
            85..98 => (Some(2), &token.sid),
            98 => (Some(3), &token.client),
            _ => (None, &token.jti),
        };
        let mut revocation = match claim {
            Some(0) => Revocation::token_id(issuer, value),
            Some(1) => Revocation::subject(issuer, value),
            Some(2) => Revocation::session(issuer, value),
            Some(_) => Revocation::client(issuer, value),
            None => Revocation::all(issuer),
        };
        let mut issued_before = claim.is_none().then_some(now);
        if claim.is_some_and(|claim| claim > 0) && !random.one_in(4) {
            revocation = revocation.issued_before(time(now));
            issued_before = Some(now);
        }
        let mut until = (now + LONGEST_LIFE).next_multiple_of(LONGEST_LIFE / 16);
        if random.one_in(5) {
            until = now + 60 + random.below(600);
            revocation = revocation.until(time(until));
        }
        let claim = claim.map(|claim| (claim, value.clone()));
        let process = &self.processes[by];
        let loads = process.connection.loads();
        let stored = process.oauth2.revoke(revocation).await;
        if stored.is_err() {
            // The thread tries again at once, and not after the connection was restored.
            wait::until("the next attempt", || process.connection.loads() > loads).await;
        }
        match (&stored, process.is_down) {
            (Ok(()), false) | (Err(RevokeError::NotStored(_)), true) => {}
            // A repetition of what the store has.
            (Ok(()), true) => {
                let covers = |entry: &Entry| entry.covers(issuer, &claim, issued_before, until);
                let mut stored = self.entries.iter().filter(|entry| entry.stored_at.is_some());
                assert!(stored.any(covers));
            }
            other => panic!("{other:?}"),
        }
        self.counts.entries += 1;
        self.counts.not_stored += usize::from(stored.is_err());
        let mut known_at = [None; 2];
        known_at[by] = Some(now);
        // What a process had stored before the loss is stored again with the next load.
        let stored_at = (stored.is_ok() && !self.has_lost).then_some(now);
        self.entries.push(Entry { issuer, claim, issued_before, until, by, known_at, stored_at });
    }

    /// Cuts and restores connections, replaces processes, and lets the store lose its data.
    fn disturb(&mut self) {
        for process in &mut self.processes {
            // An outage lasts for three minutes on average.
            let is_changed = self.random.one_in(if process.is_down { 18 } else { 200 });
            if is_changed {
                process.is_down = !process.is_down;
                process.connection.state.is_down.store(process.is_down, Ordering::SeqCst);
            }
        }
        let all_are_up = self.processes.iter().all(|process| !process.is_down);
        // Each process knows what the other has added, so that one of them may end.
        let all_is_known =
            self.entries.iter().all(|entry| entry.known_at.iter().all(Option::is_some));
        if all_are_up && all_is_known && self.random.one_in(200) {
            self.counts.restarts += 1;
            let index = self.random.below(2) as usize;
            self.processes[index] = self.start_process();
            self.settle();
        } else if all_are_up && self.random.one_in(200) {
            self.counts.losses += 1;
            self.store.lose_everything();
            self.has_lost = true;
            // The processes notice it with their next load.
            for entry in &mut self.entries {
                entry.stored_at = None;
            }
        }
    }

    /// Sends a token to a process.
    async fn check(&mut self, index: usize, token: usize) {
        let (now, token, process) = (self.now(), &self.tokens[token], &self.processes[index]);
        let found = kind(&process.oauth2, &token.text).await;
        let age = now - process.loaded_at;
        let is_usable = age < self.bound;
        let of_token: Vec<_> =
            self.entries.iter().filter(|entry| entry.revokes(token, now)).collect();
        let is_known = of_token.iter().any(|entry| entry.known_at[index].is_some());
        match found {
            Some(ErrorKind::TokenRevoked) => {
                assert!(!of_token.is_empty(), "no entry revokes {}", token.jti);
                self.counts.revoked += 1;
            }
            Some(ErrorKind::RevocationStatusUnavailable) => {
                assert!(!is_usable, "the list is {age} s old");
                assert!(!is_known, "it is known to be revoked");
                self.counts.unavailable += 1;
            }
            None => {
                assert!(is_usable, "the list is {age} s old");
                assert!(!is_known, "a process has the entry, and accepts the token");
                self.counts.accepted += 1;
                for entry in of_token {
                    self.counts.revoked_and_accepted += 1;
                    // From then on, `revoke` has returned, or would have.
                    let Some(stored_at) = entry.stored_at else { continue };
                    assert!(now - stored_at < self.bound, "{} s", now - stored_at);
                    self.counts.longest = self.counts.longest.max(now - stored_at);
                }
            }
            Some(other) => panic!("{other}"),
        }
    }
}

async fn simulate(when: WhenUnavailable, bound: u64) -> Counts {
    let mut day = Day::begin(when, bound).await;
    for _ in 0..30 {
        day.issue();
    }
    for _ in 0..DAY / STEP {
        day.step();
        day.disturb();
        day.issue();
        if day.random.one_in(5) {
            day.revoke().await;
        }
        for _ in 0..8 {
            let token = day.random.below(day.tokens.len() as u64) as usize;
            for index in 0..2 {
                day.check(index, token).await;
            }
        }
    }
    println!("{when:?}: {:?}", day.counts);
    day.counts
}

#[tokio::test]
async fn day_without_the_last_list_accepts_no_token_on_an_old_list() {
    let counts = simulate(WhenUnavailable::Refuse, 3).await;
    assert!(counts.entries > 1_500 && counts.not_stored > 50, "{counts:?}");
    assert!(counts.restarts > 5 && counts.losses > 5, "{counts:?}");
    assert!(counts.revoked > 1_000 && counts.unavailable > 1_000, "{counts:?}");
    assert!(counts.accepted > counts.revoked, "{counts:?}");
}

#[tokio::test]
async fn day_with_the_last_list_accepts_revoked_tokens_for_five_minutes_at_most() {
    let counts = simulate(WhenUnavailable::UseLastList(Duration::from_secs(300)), 300).await;
    assert!(counts.entries > 1_500 && counts.not_stored > 50, "{counts:?}");
    assert!(counts.restarts > 5 && counts.losses > 5, "{counts:?}");
    assert!(counts.revoked > 1_000 && counts.unavailable > 100, "{counts:?}");
    assert!(counts.accepted > counts.revoked, "{counts:?}");
    // The setting has an effect, or the test would show nothing.
    assert!(counts.revoked_and_accepted > 10 && counts.longest > 200, "{counts:?}");
}
