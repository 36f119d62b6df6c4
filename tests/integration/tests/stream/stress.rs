//! Everything at once: writers that roll back, prepare and dawdle, readers with pages of every
//! size, a standby, and crashes. What has committed is delivered, each event once.

use super::{TENANT, log};
use activity_log_integration::{Cluster, Database, Options, Stop};
use postgres::{Client, Config, NoTls};
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use uuid::Uuid;

const WRITERS: u64 = 8;
/// Page sizes of the readers, whether each is on the standby, and whether it reads all tenants.
const READERS: [(i32, bool, bool); 4] = [
    (3, false, false),
    (50, true, false),
    (500, false, false),
    (100, false, true),
];

/// How long a run lasts, and how often the server dies in it.
struct Run {
    events: usize,
    longest: Duration,
    crashes: u32,
}

/// What the threads share.
struct State {
    stop_writing: AtomicBool,
    stop_reading: AtomicBool,
    recorded: AtomicUsize,
    /// Events whose COMMIT was confirmed.
    confirmed: Mutex<HashSet<Uuid>>,
}

/// A small generator of numbers that look random, so that a run can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn pause(&mut self) {
        if self.below(4) == 0 {
            thread::sleep(Duration::from_millis(self.below(15)));
        }
    }
}

/// Connects as soon as the server is there.
fn connect(config: &Config) -> Client {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match config.connect(NoTls) {
            Ok(client) => return client,
            Err(error) => assert!(Instant::now() < deadline, "no connection: {error}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Calls `work` with a connection until told to stop; after an error with a new one.
fn repeat(
    config: &Config,
    stop: &AtomicBool,
    mut work: impl FnMut(&mut Client) -> Result<(), postgres::Error>,
) {
    let mut client = connect(config);
    while !stop.load(Ordering::Relaxed) {
        if let Err(error) = work(&mut client) {
            let is_expected = client.is_closed()
                || error
                    .as_db_error()
                    .is_some_and(|error| error.code().code().starts_with("57"));
            assert!(is_expected, "{error:?}");
            client = connect(config);
        }
    }
}

fn write(config: &Config, number: u64, state: &State) {
    let mut dice = Dice(0x9E37_79B9 * (number + 1));
    let mut turn = 0;
    repeat(config, &state.stop_writing, |client| {
        turn += 1;
        let ids = transaction(client, &mut dice, &format!("w{number}_{turn}"))?;
        state.recorded.fetch_add(ids.len(), Ordering::Relaxed);
        state.confirmed.lock().unwrap().extend(ids);
        Ok(())
    });
}

fn record(client: &mut Client, ids: &mut Vec<Uuid>) -> Result<(), postgres::Error> {
    let call = "SELECT activity.record('a.b', tenant_id => $1::text::uuid)";
    ids.push(client.query_one(call, &[&TENANT])?.get(0));
    Ok(())
}

/// One transaction of a writer: the events that it has committed.
fn transaction(
    client: &mut Client,
    dice: &mut Dice,
    name: &str,
) -> Result<Vec<Uuid>, postgres::Error> {
    let mut kept = Vec::new();
    let asynchronous = if dice.below(3) == 0 { "off" } else { "on" };
    client.batch_execute(&format!(
        "BEGIN; SET LOCAL synchronous_commit = {asynchronous}"
    ))?;
    if dice.below(2) == 0 {
        // Its id is older than its events.
        client.batch_execute("SELECT pg_current_xact_id()")?;
        dice.pause();
    }
    for _ in 0..=dice.below(4) {
        if dice.below(5) > 0 {
            record(client, &mut kept)?;
            continue;
        }
        client.batch_execute("SAVEPOINT s")?;
        let mut within = Vec::new();
        record(client, &mut within)?;
        if dice.below(2) == 0 {
            client.batch_execute("ROLLBACK TO s")?;
        } else {
            client.batch_execute("RELEASE s")?;
            kept.append(&mut within);
        }
    }
    dice.pause();
    let commits = match dice.below(20) {
        0 | 1 => {
            client.batch_execute("ROLLBACK")?;
            false
        }
        2 => {
            client.batch_execute(&format!("PREPARE TRANSACTION '{name}'"))?;
            dice.pause();
            let commits = dice.below(3) > 0;
            let end = if commits { "COMMIT" } else { "ROLLBACK" };
            client.batch_execute(&format!("{end} PREPARED '{name}'"))?;
            commits
        }
        _ => {
            client.batch_execute("COMMIT")?;
            // What did not wait for the disk may be lost in a crash, unless a reader got it.
            asynchronous == "on"
        }
    };
    Ok(if commits { kept } else { Vec::new() })
}

/// A transaction of somebody else that is open for seconds and has nothing to do with the log.
fn dawdle(config: &Config, state: &State) {
    repeat(config, &state.stop_writing, |client| {
        client.batch_execute("BEGIN; SELECT pg_current_xact_id()")?;
        thread::sleep(Duration::from_millis(1_500));
        client.batch_execute("COMMIT")
    });
}

/// Follows the stream from the beginning; every event in the order of delivery.
fn follow(config: &Config, page_size: i32, reads_all: bool, state: &State) -> Vec<Uuid> {
    let call = "SELECT event_id, next_cursor, tenant_id::text FROM activity.read_stream($1::text::uuid, $2, $3)";
    let tenant = (!reads_all).then_some(TENANT);
    let (mut found, mut cursor, mut client) = (Vec::new(), String::new(), connect(config));
    loop {
        // Read before the page: what the last page does not have was not there when it stopped.
        let is_last = state.stop_reading.load(Ordering::Relaxed);
        let Ok(rows) = client.query(call, &[&tenant, &cursor, &page_size]) else {
            client = connect(config);
            continue;
        };
        found.extend(
            rows.iter()
                .filter(|row| row.get::<_, Option<&str>>(2) == Some(TENANT))
                .map(|row| row.get::<_, Uuid>(0)),
        );
        let last = rows.last().unwrap();
        cursor = last.get(1);
        if last.get::<_, Option<Uuid>>(0).is_none() {
            if is_last {
                return found;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The reader that most people write first.
fn follow_naively(config: &Config, state: &State) -> Vec<Uuid> {
    let call = "SELECT event_id FROM activity.events WHERE tenant_id = $1::text::uuid AND event_id > $2 ORDER BY event_id LIMIT 500";
    let (mut found, mut last, mut client) = (Vec::new(), Uuid::nil(), connect(config));
    loop {
        let is_last = state.stop_reading.load(Ordering::Relaxed);
        let Ok(rows) = client.query(call, &[&TENANT, &last]) else {
            client = connect(config);
            continue;
        };
        found.extend(rows.iter().map(|row| row.get::<_, Uuid>(0)));
        last = found.last().copied().unwrap_or(last);
        if rows.is_empty() {
            if is_last {
                return found;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn clusters() -> (Cluster, Cluster) {
    let primary = Cluster::start(&Options {
        preload: true,
        settings: &[
            ("max_prepared_transactions", "50"),
            ("wal_retrieve_retry_interval", "100ms"),
        ],
    });
    let standby = primary.start_standby();
    (primary, standby)
}

/// Ends what crashes have left prepared, and waits until the standby has everything.
fn settle(database: &Database<'_>, copy: &Database<'_>) {
    let mut session = database.superuser();
    for (number, name) in session
        .texts("SELECT gid FROM pg_prepared_xacts")
        .iter()
        .enumerate()
    {
        let end = ["COMMIT", "ROLLBACK"][number % 2];
        session
            .batch_execute(&format!("{end} PREPARED '{name}'"))
            .unwrap();
    }
    // A commit that waits for the disk takes along those that did not.
    session.batch_execute("CREATE TABLE settled ()").unwrap();
    let position = session
        .text("SELECT pg_current_wal_flush_lsn()::text")
        .unwrap();
    let reached = format!("SELECT (pg_last_wal_replay_lsn() >= '{position}'::pg_lsn)::int::bigint");
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut replica = copy.superuser();
    while replica.number(&reached) == 0 {
        assert!(Instant::now() < deadline, "the standby does not follow");
        thread::sleep(Duration::from_millis(20));
    }
}

fn run(run: &Run) {
    let (primary, standby) = clusters();
    let database = log(&primary);
    let copy = standby.existing_database(database.name());
    let (here, there) = (database.config("postgres"), copy.config("postgres"));
    wait_for(&there);
    let state = State {
        stop_writing: AtomicBool::new(false),
        stop_reading: AtomicBool::new(false),
        recorded: AtomicUsize::new(0),
        confirmed: Mutex::default(),
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|n| {
                scope.spawn({
                    let (here, state) = (&here, &state);
                    move || write(here, n, state)
                })
            })
            .collect();
        let dawdler = scope.spawn(|| dawdle(&here, &state));
        let naive = scope.spawn(|| follow_naively(&here, &state));
        let readers: Vec<_> = READERS
            .into_iter()
            .map(|(page_size, on_standby, reads_all)| {
                let server = if on_standby { &there } else { &here };
                let state = &state;
                scope.spawn(move || follow(server, page_size, reads_all, state))
            })
            .collect();
        crash(&primary, &standby, run, &state);
        state.stop_writing.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().unwrap();
        }
        dawdler.join().unwrap();
        settle(&database, &copy);
        state.stop_reading.store(true, Ordering::Relaxed);
        let given: Vec<Vec<Uuid>> = readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect();
        check(&database, &given, &naive.join().unwrap(), &state);
    });
}

/// Waits until the standby has the database.
fn wait_for(config: &Config) {
    let mut client = connect(config);
    let deadline = Instant::now() + Duration::from_secs(60);
    while client
        .query("SELECT 1 FROM activity.log", &[])
        .map_or(0, |rows| rows.len())
        == 0
    {
        assert!(
            Instant::now() < deadline,
            "the standby does not get the log"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// Lets the servers die evenly over the run, the standby in between.
fn crash(primary: &Cluster, standby: &Cluster, run: &Run, state: &State) {
    let deadline = Instant::now() + run.longest;
    let mut died = 0;
    let part = run.events / (run.crashes as usize + 1);
    while state.recorded.load(Ordering::Relaxed) < run.events || died < run.crashes {
        thread::sleep(Duration::from_millis(50));
        assert!(
            Instant::now() < deadline || died == run.crashes,
            "the writers are too slow"
        );
        if Instant::now() > deadline {
            return;
        }
        if state.recorded.load(Ordering::Relaxed) >= part * (died as usize + 1)
            && died < run.crashes
        {
            died += 1;
            let server = if died % 3 == 2 { standby } else { primary };
            server.restart(Stop::Immediate);
        }
    }
}

fn check(database: &Database<'_>, given: &[Vec<Uuid>], naive: &[Uuid], state: &State) {
    let rows = database
        .superuser()
        .query(
            "SELECT event_id, format('%s/%s', gen, xact) FROM activity.events WHERE tenant_id = $1::text::uuid",
            &[&TENANT],
        )
        .unwrap();
    let stored: HashMap<Uuid, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let confirmed = state.confirmed.lock().unwrap();
    let undone = confirmed
        .iter()
        .filter(|id| !stored.contains_key(id))
        .count();
    assert_eq!(undone, 0, "confirmed and lost by the database");
    for (delivered, (page_size, ..)) in given.iter().zip(READERS) {
        let distinct: HashSet<&Uuid> = delivered.iter().collect();
        let lost = stored.keys().filter(|id| !distinct.contains(id)).count();
        let unknown = distinct
            .iter()
            .filter(|id| !stored.contains_key(id))
            .count();
        let twice = delivered.len() - distinct.len();
        println!(
            "pages of {page_size}: {} of {} events, lost {lost}, twice {twice}, undone {unknown}",
            delivered.len(),
            stored.len()
        );
        assert_eq!((lost, twice, unknown), (0, 0, 0), "pages of {page_size}");
        let mut last: HashMap<&str, &Uuid> = HashMap::new();
        for id in delivered {
            if let Some(before) = last.insert(&stored[id], id) {
                assert!(before < id, "the order in transaction {}", stored[id]);
            }
        }
    }
    let naive: HashSet<&Uuid> = naive.iter().collect();
    let lost = stored.keys().filter(|id| !naive.contains(id)).count();
    println!("id > last: lost {lost} of {}", stored.len());
    assert!(lost > 0, "the run was too tame to show anything");
}

#[test]
fn what_commits_is_delivered_once_whatever_happens() {
    run(&Run {
        events: 4_000,
        longest: Duration::from_secs(90),
        crashes: 3,
    });
}

#[test]
#[ignore = "long"]
fn what_commits_is_delivered_once_also_in_a_hundred_thousand_events() {
    run(&Run {
        events: 100_000,
        longest: Duration::from_secs(1_800),
        crashes: 12,
    });
}
