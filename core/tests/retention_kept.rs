//! Names of the partitions that take what stays.

use activity_log_core::retention::kept_name;

#[test]
fn the_name_is_free_and_does_not_grow() {
    assert_eq!(
        kept_name("events_p2026_01", |_| false),
        "events_p2026_01_kept"
    );
    let taken = ["events_p2026_01_kept", "events_p2026_01_kept_2"];
    let is_taken = |name: &str| taken.contains(&name);
    for partition in [
        "events_p2026_01",
        "events_p2026_01_kept",
        "events_p2026_01_kept_2",
    ] {
        assert_eq!(kept_name(partition, is_taken), "events_p2026_01_kept_3");
    }
    assert_eq!(
        kept_name("events_p2026_01_kept_2", |_| false),
        "events_p2026_01_kept"
    );
    assert_eq!(kept_name("odd_kept_x", |_| false), "odd_kept_x_kept");
}
