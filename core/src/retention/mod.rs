//! How long events are kept and in which partitions. The time is always an argument; nothing here
//! reads a clock.

mod kept;
mod period;
mod plan;
mod policy;

pub use kept::kept_name;
pub use period::{
    Ahead, Bounds, MAX_PREMAKE, MIN_DAYS_AHEAD, Period, PeriodProblem, partition_name,
    periods_ahead, plan_ahead, required_range,
};
pub use plan::{Decision, Share, Situation, decide, is_due, leaves_before};
pub use policy::{
    Change, Keep, Kind, NotPositive, Policy, Scope, Subject, Verdict, change, verdict,
};
