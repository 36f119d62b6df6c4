//! Names of the partitions that take what stays.

use activity_log_core::retention::held_name;

#[test]
fn the_name_is_free_and_does_not_grow() {
    assert_eq!(
        held_name("events_p2026_01", |_| false),
        "events_p2026_01_held"
    );
    let taken = ["events_p2026_01_held", "events_p2026_01_held_2"];
    let is_taken = |name: &str| taken.contains(&name);
    for partition in [
        "events_p2026_01",
        "events_p2026_01_held",
        "events_p2026_01_held_2",
    ] {
        assert_eq!(held_name(partition, is_taken), "events_p2026_01_held_3");
    }
    assert_eq!(
        held_name("events_p2026_01_held_2", |_| false),
        "events_p2026_01_held"
    );
    assert_eq!(held_name("odd_held_x", |_| false), "odd_held_x_held");
}
