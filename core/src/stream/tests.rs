//! What cursors and snapshots promise, for any history.

use super::cursor::MAX_CHARACTERS;
use super::snapshot::MAX_BYTES;
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

const LOG: [u8; 16] = [1; 16];
const TENANT: Scope = Scope::Tenant([2; 16]);

fn snapshots() -> impl Strategy<Value = Snapshot> {
    (1u64..200, vec(0u64..200, 0..40)).prop_map(|(xmax, xids)| Snapshot::new(xmax, xids))
}

fn wide_snapshots() -> impl Strategy<Value = Snapshot> {
    (any::<u64>(), vec(any::<u64>(), 0..300))
        .prop_map(|(xmax, xids)| Snapshot::new(xmax, xids).bounded())
}

prop_compose! {
    fn points()(home: u32, timeline: u32, number: i32, snapshot in wide_snapshots(),
                next: u64, at: i64, floor: i64, is_settled: bool) -> Point {
        let life = Life { place: Place { home, timeline }, number };
        Point { life, snapshot, next, at, floor, is_settled }
    }
}

fn bases() -> impl Strategy<Value = Base> {
    prop_oneof![
        any::<Option<i64>>().prop_map(|since| Base::Beginning { since }),
        points().prop_map(Base::Seen),
    ]
}

prop_compose! {
    fn pages()(target in points(), life: i32, xact: u64, event_id: [u8; 16]) -> Page {
        Page { target, after: Position { life, xact, event_id } }
    }
}

prop_compose! {
    fn cursors()(base in bases(), page in proptest::option::of(pages())) -> Cursor {
        Cursor { base, page }
    }
}

fn point(home: u32, timeline: u32, snapshot: Snapshot) -> Point {
    let life = Life {
        place: Place { home, timeline },
        number: 1,
    };
    Point {
        life,
        snapshot,
        next: 1_000,
        at: 0,
        floor: 0,
        is_settled: true,
    }
}

#[test]
fn a_thousand_open_transactions_fit_and_more_only_hold_the_reader_back() {
    let spread =
        Snapshot::new(5_000_000, (0..1_000).map(|n| 3_000_000 + n * 90).collect()).bounded();
    assert_eq!(spread.in_flight().len(), 1_000);
    let many =
        Snapshot::new(5_000_000, (0..100_000).map(|n| 3_000_000 + n * 7).collect()).bounded();
    assert!(many.in_flight().len() > 1_000);
    assert!(many.xmax() < 5_000_000, "the youngest are seen later");
    assert!(many.sees(2_999_999) && !many.sees(many.xmax()) && many.sees(3_000_001));
    let worst = Cursor {
        base: Base::Seen(point(u32::MAX, u32::MAX, many.clone())),
        page: Some(Page {
            target: point(u32::MAX, u32::MAX, many),
            after: Position {
                life: 1,
                xact: 1,
                event_id: [7; 16],
            },
        }),
    };
    let text = worst.encode(&LOG, TENANT);
    assert!(text.len() <= MAX_CHARACTERS, "{}", text.len());
    assert!(
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    );
}

#[test]
fn a_cursor_of_a_quiet_log_is_short() {
    let base = Base::Seen(point(1, 1, Snapshot::new(800, vec![])));
    let text = Cursor { base, page: None }.encode(&LOG, TENANT);
    assert!(text.len() < 60, "{}", text.len());
}

#[test]
fn a_cursor_of_another_tenant_of_all_or_of_another_log_is_refused() {
    let cursor = Cursor {
        base: Base::Beginning { since: None },
        page: None,
    };
    let scopes = [TENANT, Scope::Tenant([3; 16]), Scope::All];
    for given in scopes {
        let text = cursor.encode(&LOG, given);
        assert_eq!(Cursor::decode(&text, &[9; 16], given), Err(BadCursor));
        for wanted in scopes {
            assert_eq!(Cursor::decode(&text, &LOG, wanted).is_ok(), given == wanted);
        }
    }
    let of_nobody = cursor.encode(&LOG, Scope::Any);
    for wanted in scopes {
        assert_eq!(
            Cursor::decode(&of_nobody, &LOG, wanted).as_ref(),
            Ok(&cursor)
        );
    }
}

#[test]
fn lives_get_numbers_of_their_own() {
    let mut numbers = std::collections::BTreeSet::new();
    for home in 1..20 {
        for timeline in 1..20 {
            for database in 0..5 {
                let place = Place { home, timeline };
                numbers.insert(Life::derived(place, "7000000000000000001", database).number);
            }
        }
    }
    assert_eq!(numbers.len(), 19 * 19 * 5);
    assert!(numbers.iter().all(|number| *number >= 0x1_0000));
}

#[test]
fn a_point_sees_earlier_homes_whole_and_later_lives_not_at_all() {
    let here = point(2, 3, Snapshot::new(100, vec![50]));
    let sees = |home, timeline, xact| here.sees(Place { home, timeline }, xact);
    assert!(
        sees(1, 9, 5_000),
        "an id of another home means nothing here"
    );
    assert!(!sees(3, 1, 1) && !sees(2, 4, 1));
    assert!(sees(2, 3, 99) && sees(2, 1, 99));
    assert!(
        !sees(2, 1, 50),
        "prepared before the promotion and still open"
    );
    assert!(!sees(2, 3, 100));
}

proptest! {
    #[test]
    fn a_cursor_comes_back_as_it_was(cursor in cursors()) {
        for scope in [Scope::Any, TENANT, Scope::All] {
            let text = cursor.encode(&LOG, scope);
            prop_assert!(text.len() <= MAX_CHARACTERS);
            let decoded = Cursor::decode(&text, &LOG, scope);
            prop_assert_eq!(decoded.as_ref(), Ok(&cursor));
        }
    }

    #[test]
    fn any_changed_character_is_noticed(cursor in cursors(), at: prop::sample::Index, replacement in "[A-Za-z0-9_-]") {
        let text = cursor.encode(&LOG, TENANT);
        let at = at.index(text.len());
        let mut changed = text.clone();
        changed.replace_range(at..=at, &replacement);
        prop_assume!(changed != text);
        prop_assert_eq!(Cursor::decode(&changed, &LOG, TENANT), Err(BadCursor));
    }

    #[test]
    fn no_text_is_taken_for_a_cursor(text in ".{0,80}") {
        prop_assert_eq!(Cursor::decode(&text, &LOG, TENANT), Err(BadCursor));
    }

    #[test]
    fn a_snapshot_sees_what_had_ended(xmax in 1u64..200, xids in vec(0u64..200, 0..40), xid in 0u64..250) {
        let snapshot = Snapshot::new(xmax, xids.clone());
        prop_assert_eq!(snapshot.sees(xid), xid < xmax && !xids.contains(&xid));
        prop_assert!((0..snapshot.lowest_unseen()).all(|xid| snapshot.sees(xid)));
        prop_assert!(!snapshot.sees(snapshot.lowest_unseen()));
    }

    #[test]
    fn a_union_sees_what_either_sees(a in snapshots(), b in snapshots(), xid in 0u64..250) {
        let union = a.union(&b);
        prop_assert_eq!(union.sees(xid), a.sees(xid) || b.sees(xid));
        prop_assert!(union.covers(&a) && union.covers(&b));
    }

    #[test]
    fn one_covers_another_if_it_sees_all_that_the_other_sees(a in snapshots(), b in snapshots()) {
        prop_assert_eq!(a.covers(&b), (0..250).all(|xid| a.sees(xid) || !b.sees(xid)));
    }

    #[test]
    fn a_bounded_snapshot_sees_less_and_never_more(xmax: u64, xids in vec(any::<u64>(), 0..400)) {
        let exact = Snapshot::new(xmax, xids.clone());
        let snapshot = exact.clone().bounded();
        prop_assert!(exact.covers(&snapshot));
        prop_assert!(snapshot.xmax() <= xmax);
        prop_assert!(xids.iter().all(|xid| !snapshot.sees(*xid)));
        let mut bytes = Vec::new();
        snapshot.encode(&mut bytes);
        prop_assert!(bytes.len() <= MAX_BYTES);
    }

    /// Any sequence of snapshots of one history, in any order as a lagging standby may give them,
    /// delivers each transaction once, and only after it has committed.
    #[test]
    fn a_chain_of_points_delivers_each_transaction_once(
        ends in vec(0usize..30, 1..60), visits in vec(0usize..30, 1..30),
    ) {
        // Transaction n begins at time n / 2 and ends `ends[n]` later.
        let at_time = |time: usize| {
            let ended = |n: usize| n / 2 + ends[n] < time;
            let xmax = (0..ends.len()).filter(|n| ended(*n)).max().map_or(0, |n| n + 1);
            let in_flight = (0..xmax).filter(|n| !ended(*n)).map(|n| n as u64).collect();
            point(1, 1, Snapshot::new(xmax as u64, in_flight))
        };
        let place = Place { home: 1, timeline: 1 };
        let mut seen = at_time(0);
        let mut times_given = vec![0; ends.len()];
        for time in visits.into_iter().chain([1_000]) {
            let target = at_time(time);
            for (n, times) in times_given.iter_mut().enumerate() {
                if target.sees(place, n as u64) && !seen.sees(place, n as u64) {
                    *times += 1;
                }
            }
            seen = seen.advanced_to(&target);
        }
        prop_assert!(times_given.iter().all(|times| *times == 1), "{:?}", times_given);
    }
}
