//! What outlives the server: only this file stops servers, kills them and promotes standbys.

use activity_log_integration::{Cluster, Options, Stop};

#[test]
fn an_immediate_stop_loses_no_committed_event() {
    let cluster = Cluster::start(&Options::default());
    let database = cluster.database();
    let mut session = database.superuser();
    session
        .batch_execute("SELECT activity.register_action('user.created')")
        .unwrap();
    session
        .batch_execute("SELECT activity.record('user.created', tenant_id => gen_random_uuid()) FROM generate_series(1, 10)")
        .unwrap();
    cluster.restart(Stop::Immediate);
    let count = "SELECT count(*) FROM activity.events WHERE action = 'user.created'";
    assert_eq!(database.superuser().number(count), 10);
}
