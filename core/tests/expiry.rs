//! Years of a log, played through: nothing goes before its time, nothing that is held ever goes,
//! and what nobody keeps does go.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing test panics"
)]

use activity_log_core::registry::action::ActionPattern;
use activity_log_core::retention::{
    Bounds, Change, Decision, Keep, Kind, Period, Policy, Scope, Share, Situation, Subject, change,
    decide, is_due, leaves_before, plan_ahead, required_range, verdict,
};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use proptest::prelude::*;
use std::collections::HashMap;

const ACTIONS: [(&str, Option<&str>); 4] = [
    ("auth.login", Some("security")),
    ("auth.login.failure", Some("security")),
    ("doc.read", Some("reads")),
    ("doc.changed", None),
];

fn day(year: i32, month: u32, day: u32) -> DateTime<Utc> {
    NaiveDate::from_ymd_opt(year, month, day)
        .unwrap()
        .and_time(NaiveTime::MIN)
        .and_utc()
}

fn days(count: i32) -> Keep {
    Keep::from_interval(0, count, 0).unwrap()
}

fn tenant(number: u8) -> [u8; 16] {
    [number; 16]
}

fn policy(tenant: Option<u8>, subject: Subject, keep: Option<i32>) -> Policy {
    Policy {
        scope: Scope {
            tenant: tenant.map(self::tenant),
            subject,
        },
        keep: keep.map(days),
        online: None,
        archive_to: None,
    }
}

fn kind(tenant_number: u8, action: usize) -> Kind<'static> {
    Kind {
        tenant: tenant(tenant_number),
        action: ACTIONS[action].0,
        category: ACTIONS[action].1,
    }
}

fn prefix(text: &str) -> Subject {
    Subject::Action(ActionPattern::parse(text).unwrap())
}

fn kept_days(policies: &[Policy], of: &Kind<'_>) -> Option<i64> {
    let now = day(2026, 11, 21);
    verdict(policies, of, now)
        .cutoff
        .map(|cutoff| (now - cutoff).num_days())
}

#[test]
fn a_narrower_policy_replaces_a_wider_one_and_the_longest_of_the_others_wins() {
    let all = [
        policy(None, Subject::Everything, Some(365)),
        policy(Some(1), Subject::Everything, Some(30)),
        policy(None, Subject::Category("security".into()), Some(2_555)),
        policy(None, prefix("doc.*"), Some(90)),
        policy(None, prefix("doc.read"), Some(10)),
        policy(Some(2), Subject::Category("security".into()), Some(40)),
    ];
    for (of, expected) in [
        (kind(1, 0), 2_555), // the tenant's 30 days and the category's: neither is the narrower
        (kind(1, 2), 30),    // the tenant's is longer than the action's
        (kind(1, 3), 90),
        (kind(2, 0), 40), // the tenant's own word on the category
        (kind(3, 0), 2_555),
        (kind(3, 2), 10), // the action's replaces that of its prefix
        (kind(3, 3), 90),
    ] {
        assert_eq!(kept_days(&all, &of), Some(expected), "{of:?}");
    }
    assert_eq!(kept_days(&all[1..], &kind(2, 3)), Some(90));
    assert_eq!(
        kept_days(&all[1..3], &kind(3, 3)),
        None,
        "no policy: for ever"
    );
    assert_eq!(kept_days(&[], &kind(1, 0)), None);
}

#[test]
fn a_month_is_a_month_of_the_calendar() {
    let month = Keep::from_interval(1, 0, 0).unwrap();
    assert_eq!(month.cutoff(day(2026, 3, 31)), day(2026, 2, 28));
    let years = Keep::from_interval(72, 0, 0).unwrap();
    assert_eq!(years.cutoff(day(2026, 11, 21)), day(2020, 11, 21));
    for parts in [(0, 0, 0), (-1, 40, 0), (1, -1, 0), (0, 0, -1)] {
        assert!(Keep::from_interval(parts.0, parts.1, parts.2).is_err());
    }
    let eternity = Keep::from_interval(i32::MAX, i32::MAX, i64::MAX).unwrap();
    assert_eq!(eternity.cutoff(day(2026, 1, 1)), DateTime::<Utc>::MIN_UTC);
}

#[test]
fn changes_are_told_apart() {
    let now = day(2026, 11, 21);
    let default = |keep| policy(None, Subject::Everything, keep);
    let scope = Scope::DEFAULT;
    for (before, after, expected) in [
        (vec![], vec![default(Some(365))], Change::Limited),
        (vec![], vec![default(None)], Change::Longer),
        (
            vec![default(Some(365))],
            vec![default(Some(400))],
            Change::Longer,
        ),
        (
            vec![default(Some(365))],
            vec![default(Some(364))],
            Change::Shorter,
        ),
        (
            vec![default(None)],
            vec![default(Some(9_999))],
            Change::Shorter,
        ),
        (vec![default(Some(365))], vec![], Change::Longer),
    ] {
        assert_eq!(change(&before, &after, &scope, now), expected);
    }
    let own = policy(Some(1), Subject::Everything, Some(30));
    let both = [default(Some(365)), own.clone()];
    assert_eq!(change(&both[..1], &both, &own.scope, now), Change::Shorter);
    assert_eq!(change(&both, &both[..1], &own.scope, now), Change::Longer);
}

/// An event of the simulation.
#[derive(Debug, Clone)]
struct Event {
    recorded_at: DateTime<Utc>,
    tenant: u8,
    action: usize,
    is_held: bool,
}

impl Event {
    fn kind(&self) -> Kind<'static> {
        kind(self.tenant, self.action)
    }
}

/// A log as the boundary keeps it: partitions with their events, and when each was looked at last.
struct Log {
    policies: Vec<Policy>,
    period: Period,
    is_archived: bool,
    partitions: Vec<(Bounds, Vec<Event>)>,
    looked_at: HashMap<DateTime<Utc>, DateTime<Utc>>,
}

impl Log {
    fn new(policies: Vec<Policy>, period: Period, is_archived: bool) -> Self {
        Self {
            policies,
            period,
            is_archived,
            partitions: Vec::new(),
            looked_at: HashMap::new(),
        }
    }

    fn bounds(&self) -> Vec<Bounds> {
        self.partitions.iter().map(|(bounds, _)| *bounds).collect()
    }

    fn make_ahead(&mut self, now: DateTime<Utc>) {
        for bounds in plan_ahead(now, self.period, 2, &self.bounds()) {
            self.partitions.push((bounds, Vec::new()));
        }
        self.partitions.sort_by_key(|(bounds, _)| *bounds);
    }

    /// What goes in one run of the maintenance.
    fn expire(&mut self, now: DateTime<Utc>) -> Vec<Event> {
        let required_from = required_range(now, self.period, 2).lower;
        let mut gone = Vec::new();
        let mut left = Vec::new();
        for (bounds, events) in std::mem::take(&mut self.partitions) {
            let last = self.looked_at.get(&bounds.lower).copied();
            let (period, premake) = (self.period, 2);
            let required = |at| required_range(at, period, premake).lower;
            if !is_due(&self.policies, bounds, last, now, required) {
                left.push((bounds, events));
                continue;
            }
            let leaves = |event: &Event| {
                leaves_before(&verdict(&self.policies, &event.kind(), now), bounds)
                    .is_some_and(|cutoff| event.recorded_at < cutoff)
            };
            let count = |wanted: &dyn Fn(&Event) -> bool| {
                events.iter().filter(|event| wanted(event)).count() as u64
            };
            let share = Share {
                leaving: count(&|event| leaves(event) && !event.is_held),
                held: count(&|event| leaves(event) && event.is_held),
                kept: count(&|event| !leaves(event)),
            };
            let situation = Situation {
                bounds,
                required_from,
                is_closed: bounds.upper <= now,
                is_archived: self.is_archived,
                has_policies: !self.policies.is_empty(),
            };
            match decide(&situation, share) {
                Decision::Drop => gone.extend(events),
                Decision::Keep | Decision::Held => {
                    self.looked_at.insert(bounds.lower, now);
                    left.push((bounds, events));
                }
                Decision::Sweep | Decision::CarryOver => {
                    let (go, stay): (Vec<_>, Vec<_>) = events
                        .into_iter()
                        .partition(|event| leaves(event) && !event.is_held);
                    gone.extend(go);
                    self.looked_at.insert(bounds.lower, now);
                    left.push((bounds, stay));
                }
            }
        }
        self.partitions = left;
        gone
    }
}

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let subject = prop_oneof![
        Just(Subject::Everything),
        Just(Subject::Category("security".into())),
        Just(Subject::Category("reads".into())),
        Just(prefix("auth.*")),
        Just(prefix("doc.read")),
    ];
    let keep = prop_oneof![1 => Just(None), 5 => (1..900i32).prop_map(Some)];
    let one = (proptest::option::of(1..4u8), subject, keep)
        .prop_map(|(tenant, subject, keep)| policy(tenant, subject, keep));
    proptest::collection::vec(one, 0..6)
}

fn periods() -> impl Strategy<Value = Period> {
    prop_oneof![
        Just(Period::from_interval(1, 0, 0).unwrap()),
        Just(Period::from_interval(3, 0, 0).unwrap()),
        Just(Period::from_interval(0, 7, 0).unwrap()),
        Just(Period::from_interval(0, 1, 0).unwrap()),
    ]
}

type Visit = (u64, Vec<(u8, usize, bool)>);

/// Days that pass, and what is then recorded.
fn visits() -> impl Strategy<Value = Vec<Visit>> {
    let event = (1..4u8, 0..ACTIONS.len(), prop::bool::weighted(0.1));
    let pause = prop_oneof![6 => 0..40u64, 1 => 40..800u64];
    proptest::collection::vec((pause, proptest::collection::vec(event, 0..6)), 1..40)
}

proptest! {
    #[test]
    fn nothing_goes_before_its_time_or_under_hold_and_no_gap_is_left(
        policies in policies(), period in periods(), visits in visits(), is_archived in any::<bool>()
    ) {
        let mut log = Log::new(policies, period, is_archived);
        let mut now = day(2020, 2, 11);
        for (pause, recorded) in visits {
            now = now.checked_add_days(Days::new(pause)).unwrap();
            log.make_ahead(now);
            let required = required_range(now, log.period, 2);
            let mut covered = required.lower;
            for (bounds, _) in &log.partitions {
                prop_assert!(bounds.upper <= covered || bounds.lower <= covered, "a gap at {covered}");
                covered = covered.max(bounds.upper);
            }
            prop_assert!(covered >= required.upper);
            for (tenant, action, is_held) in recorded {
                let home = log.partitions.iter_mut().find(|(b, _)| b.lower <= now && now < b.upper);
                let (_, events) = home.expect("there is always a partition for now");
                events.push(Event { recorded_at: now, tenant, action, is_held });
            }
            for gone in log.expire(now) {
                let cutoff = verdict(&log.policies, &gone.kind(), now).cutoff;
                prop_assert!(!gone.is_held, "{gone:?}");
                prop_assert!(cutoff.is_some_and(|cutoff| gone.recorded_at < cutoff), "{gone:?} at {now}");
            }
            prop_assert!(log.partitions.iter().any(|(b, _)| b.lower <= required.lower));
        }
    }

    #[test]
    fn what_nobody_keeps_is_gone_a_period_after_its_time(
        policies in policies(), period in periods(), visits in visits(), is_archived in any::<bool>()
    ) {
        let mut log = Log::new(policies, period, is_archived);
        let mut now = day(2020, 2, 11);
        for (pause, recorded) in visits {
            now = now.checked_add_days(Days::new(pause)).unwrap();
            log.make_ahead(now);
            for (tenant, action, is_held) in recorded {
                let home = log.partitions.iter_mut().find(|(b, _)| b.lower <= now && now < b.upper);
                home.unwrap().1.push(Event { recorded_at: now, tenant, action, is_held });
            }
            log.expire(now);
        }
        // Ten years on, without a run in between; then a few runs.
        now = now.checked_add_days(Days::new(3_650)).unwrap();
        for _ in 0..3 {
            log.make_ahead(now);
            log.expire(now);
            now = now.checked_add_days(Days::new(1)).unwrap();
        }
        for event in log.partitions.iter().flat_map(|(_, events)| events) {
            let cutoff = verdict(&log.policies, &event.kind(), now).cutoff;
            prop_assert!(event.is_held || cutoff.is_none(), "{event:?} is still there");
        }
    }

    #[test]
    fn a_longer_time_never_removes_more(
        policies in policies(), tenant in 1..4u8, action in 0..ACTIONS.len(), more in 0..400i32
    ) {
        let now = day(2026, 11, 21);
        let of = kind(tenant, action);
        let before = verdict(&policies, &of, now).cutoff;
        let longer: Vec<Policy> = policies
            .iter()
            .map(|policy| {
                let kept = policy.keep.map(|keep| (now - keep.cutoff(now)).num_days());
                let keep = kept.map(|kept| days(i32::try_from(kept).unwrap() + more));
                Policy { keep, ..policy.clone() }
            })
            .collect();
        let after = verdict(&longer, &of, now).cutoff;
        prop_assert!(after.is_none_or(|after| before.is_some_and(|before| after <= before)));
    }
}
