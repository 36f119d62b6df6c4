//! Install order. pgrx orders SQL only by `requires`; the numbers of the files are for readers.
//!
//! Everything that holds a user's data is made by `setup()` from the files in `sql/setup`, and is
//! no member of the extension: see docs/design.md.

use pgrx::prelude::*;

extension_sql_file!("../sql/00_preflight.sql", name = "preflight", bootstrap);
extension_sql_file!("../sql/10_event.sql", name = "event");
extension_sql_file!(
    "../sql/20_triggers.sql",
    name = "triggers",
    requires = ["event"]
);
extension_sql_file!(
    "../sql/30_privacy.sql",
    name = "privacy",
    requires = ["triggers"]
);
extension_sql_file!(
    "../sql/40_record.sql",
    name = "record_helpers",
    requires = ["privacy", record::api::record]
);
extension_sql_file!(
    "../sql/41_capture.sql",
    name = "capture_triggers",
    requires = ["record_helpers"]
);
extension_sql_file!(
    "../sql/42_capture_state.sql",
    name = "capture_state",
    requires = ["capture_triggers"]
);
extension_sql_file!(
    "../sql/47_retention.sql",
    name = "retention",
    requires = ["capture_state"]
);
extension_sql_file!(
    "../sql/50_status.sql",
    name = "status",
    requires = ["retention", worker::status::worker_status]
);
extension_sql_file!("../sql/90_api.sql", name = "api", finalize);
