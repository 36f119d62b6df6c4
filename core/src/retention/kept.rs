//! The name of the partition that takes the rows which stay when another one goes.

const KEPT: &str = "_kept";

/// `<partition>_kept`, or with a number behind it where that is taken: also for the rows that stay
/// of a partition that is such a one itself.
#[must_use]
pub fn kept_name(partition: &str, mut is_taken: impl FnMut(&str) -> bool) -> String {
    let base = base_of(partition);
    let first = format!("{base}{KEPT}");
    if !is_taken(&first) {
        return first;
    }
    let mut number = 2u64;
    loop {
        let name = format!("{base}{KEPT}_{number}");
        if !is_taken(&name) {
            return name;
        }
        number += 1;
    }
}

fn base_of(partition: &str) -> &str {
    let without_number = partition
        .rsplit_once('_')
        .filter(|(before, number)| before.ends_with(KEPT) && number.parse::<u64>().is_ok())
        .map_or(partition, |(before, _)| before);
    without_number.strip_suffix(KEPT).unwrap_or(partition)
}
