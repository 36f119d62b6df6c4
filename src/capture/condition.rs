//! How the triggers of a captured table stand, and putting them right.

use super::attach::forget;
use super::attachment::Attachment;
use super::target::oid_parameter;
use super::triggers;
use crate::db::{self, Mode, Relation};
use crate::error::Error;
use crate::record;
use pgrx::pg_sys;

/// How the triggers of a capture stand.
struct Condition {
    /// The level that is complete on the table itself.
    in_effect: Option<String>,
    wanted: String,
    missing: i64,
    wrong: i64,
    strays: i64,
}

impl Condition {
    fn of(attachment: &Attachment, relation: pg_sys::Oid) -> Result<Self, Error> {
        const PLACE: &str = "capture triggers";
        db::query(
            Mode::Write,
            include_str!("../../sql/query/capture_condition.sql"),
            &[db::uuid(attachment.id.as_bytes()), oid_parameter(relation)],
            |row| {
                Ok(Self {
                    in_effect: row.get(1),
                    wanted: row.must(2, PLACE)?,
                    missing: row.must(3, PLACE)?,
                    wrong: row.must(4, PLACE)?,
                    strays: row.must(5, PLACE)?,
                })
            },
        )?
        .pop()
        .ok_or(Error::Internal { place: PLACE })
    }

    fn is_sound(&self) -> bool {
        self.missing == 0 && self.wrong == 0
    }

    /// Whether somebody has to look for the reason: the table is at no level, or a trigger was
    /// switched off.
    fn is_tampered_with(&self) -> bool {
        self.in_effect.is_none() || (self.wrong > 0 && !self.needs_rebuild())
    }

    /// Whether the table is complete at a level that is no longer right for it.
    fn needs_rebuild(&self) -> bool {
        self.in_effect
            .as_ref()
            .is_some_and(|level| *level != self.wanted)
    }
}

/// What has happened to a table whose triggers are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Something was made or altered: what is missing has never been there.
    Change,
    /// Something was dropped: what is missing was dropped.
    Drop,
}

/// Looks at the triggers after DDL. What follows from the change is made; what somebody took away
/// or switched off stays so and is an event, once.
pub(super) fn follow(
    attachment: &mut Attachment,
    relation: pg_sys::Oid,
    after: After,
) -> Result<(), Error> {
    let mut condition = Condition::of(attachment, relation)?;
    let is_right = |condition: &Condition| condition.is_sound() && condition.strays == 0;
    let may_repair = attachment.is_intact
        && !condition.is_tampered_with()
        && (after == After::Change || condition.missing == 0 || condition.needs_rebuild());
    if may_repair && (!is_right(&condition) || condition.needs_rebuild()) {
        triggers::ensure(
            attachment.id,
            relation,
            &condition.wanted,
            attachment.replicated,
        )?;
        condition = Condition::of(attachment, relation)?;
    }
    set_intact(attachment, &condition)
}

/// Writes down whether every trigger is in place, and tells in the log when that has changed.
fn set_intact(attachment: &mut Attachment, condition: &Condition) -> Result<(), Error> {
    let is_intact = condition.is_sound();
    if is_intact == attachment.is_intact {
        return Ok(());
    }
    attachment.is_intact = is_intact;
    db::run(
        "UPDATE activity.captures SET is_intact = $2 WHERE capture_id = $1",
        &[
            db::uuid(attachment.id.as_bytes()),
            (pg_sys::BOOLOID, Some(pg_sys::Datum::from(is_intact))),
        ],
    )?;
    let action = if is_intact {
        "activity.capture.restored"
    } else {
        "activity.capture.tampered"
    };
    record::write_system_event(
        action,
        &serde_json::json!({
            "capture_id": attachment.id.to_string(),
            "object_type": attachment.object_type,
            "missing": condition.missing,
            "wrong": condition.wrong,
        }),
    )
}

/// Where the log is when captured tables are put right.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The numbers of tables and columns are those that were remembered.
    Home,
    /// A restored copy: only names are the same.
    Copy,
}

/// Puts the triggers of every captured table back, and brings what is remembered of the tables up
/// to date. At home a capture whose table is gone is forgotten; in a copy it may still come.
pub fn put_right(place: Place) -> Result<(), Error> {
    db::oid(Relation::Captures)?;
    for mut attachment in Attachment::all()? {
        let Some(relation) = attachment.relation else {
            if place == Place::Home {
                forget(&attachment, "table is gone")?;
            }
            continue;
        };
        super::shape::follow(&attachment, relation, place, &[])?;
        super::partitions::follow(&attachment, relation, place)?;
        let found = Condition::of(&attachment, relation)?;
        // What went with the extension, or while nobody looked, left a gap that has to be told
        // before it ends.
        if !found.needs_rebuild() {
            set_intact(&mut attachment, &found)?;
        }
        let level = attachment.wanted_level(relation)?;
        triggers::ensure(attachment.id, relation, &level, attachment.replicated)?;
        let mended = Condition::of(&attachment, relation)?;
        set_intact(&mut attachment, &mended)?;
    }
    Ok(())
}
