"""The story of the examples that serve a tenant's events to browsers.

Usage: servers.py python|node   (tests/drivers/run sets the environment)
"""

import sys
import time
import unittest
from uuid import uuid4

import summary
from programs import Flood, Follower, Recorder, Server, crash_database, wait_until


class Story(unittest.TestCase):
    """One test per sentence."""

    language = sys.argv[1]

    def setUp(self):
        self.server = Server(self.language)
        self.addCleanup(self.server.kill)
        self.server.start()
        self.tenant, self.other = self.server.tenants
        self.recorder = Recorder()
        self.addCleanup(self.recorder.close)

    def follow(self, *arguments, **options):
        follower = self.server.follow(*arguments, **options)
        self.addCleanup(follower.close)
        return follower

    def assert_rings(self, follower, tenant):
        """An event arrives within a second, far sooner than anybody looks without being told."""
        recorded = self.recorder.record(tenant)
        committed = time.monotonic()
        follower.wait_for(recorded)
        self.assertLess(follower.arrivals[recorded] - committed, 1)

    def test_an_event_arrives_within_a_second_and_whole(self):
        follower = self.follow(self.tenant).wait_for_start()
        for _ in range(3):
            time.sleep(0.3)
            self.assert_rings(follower, self.tenant)
        metadata = {"text": 'Grüße, 東京 "quoted" \\ \u2028\r\n\n<b>', "number": 12345678901234567890}
        recorded = self.recorder.record(self.tenant, object_id="1\ndata: 2", metadata=metadata)
        follower.wait_for(recorded)
        event = follower.events[-1]
        self.assertEqual((event["event_id"], event["actor_id"]), (recorded, "alice"))
        self.assertEqual((event["object_id"], event["metadata"]), ("1\ndata: 2", metadata))
        self.assertEqual(follower.ids(), self.recorder.recorded[self.tenant])

    def test_tenants_do_not_see_each_other(self):
        mine = self.follow(self.tenant, query=f"?tenant_id={self.other}&tenant={self.other}").wait_for_start()
        theirs = self.follow(self.other).wait_for_start()
        for tenant in (self.tenant, self.other, self.other, self.tenant, str(uuid4())):
            self.recorder.record(tenant)
        for tenant, follower in ((self.tenant, mine), (self.other, theirs)):
            follower.wait_for(self.recorder.recorded[tenant][-1])
            self.assertEqual(follower.ids(), self.recorder.recorded[tenant])

    def test_who_has_no_token_gets_nothing(self):
        for token in ("", "another", self.tenant):
            follower = Follower(self.server.port, token, query=f"?token={self.server.token(self.tenant)}")
            self.assertEqual(follower.status, 401)
            follower.close()

    def test_killed_in_the_middle_nothing_is_lost_and_nothing_comes_twice(self):
        received, follower = [], self.follow(self.tenant).wait_for_start()
        flood = Flood(self.tenant)
        for _ in range(2):
            wait_until(lambda: len(follower.events) > 50, what="fifty events")
            self.server.kill()
            follower.join()
            received += follower.ids()
            missed = flood.count() + 50
            wait_until(lambda: flood.count() > missed, what="fifty more records")
            self.server.start()
            follower = self.follow(self.tenant, follower.last_id)
        recorded = flood.stop()
        follower.wait_for(recorded[-1])
        self.assertEqual(received + follower.ids(), recorded)

    def test_who_is_cut_off_before_the_first_event_misses_nothing(self):
        follower = self.follow(self.tenant).wait_for_start()
        self.server.kill()
        follower.join()
        recorded = [self.recorder.record(self.tenant) for _ in range(3)]
        self.server.start()
        follower = self.follow(self.tenant, follower.last_id)
        follower.wait_for(recorded[-1])
        self.assertEqual(follower.ids(), recorded)

    def test_the_database_crashes_and_the_client_need_not_know(self):
        follower = self.follow(self.tenant).wait_for_start()
        self.recorder.record(self.tenant)
        crash_database()
        self.recorder.close()
        follower.wait_for(self.recorder.record(self.tenant))
        wait_until(self.listening, what="the listening connection")
        self.assert_rings(follower, self.tenant)
        self.assertTrue(follower.is_alive())
        self.assertEqual(follower.ids(), self.recorder.recorded[self.tenant])

    def listening(self):
        """How many connections of the program listen, by what they were last asked."""
        [[count]] = self.recorder.query(
            """SELECT count(*) FROM pg_stat_activity
               WHERE application_name = 'live_tail' AND query LIKE '%%activity.listen(%%'"""
        )
        return count

    def test_one_connection_listens_for_all_clients(self):
        followers = [self.follow(self.server.tenants[n % 2]).wait_for_start() for n in range(20)]
        wait_until(self.listening, what="the listening connection")
        self.assertEqual(self.listening(), 1)
        [[connections]] = self.recorder.query(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'live_tail'"
        )
        self.assertLessEqual(connections, 5)
        recorded = {tenant: self.recorder.record(tenant) for tenant in self.server.tenants}
        for n, follower in enumerate(followers):
            follower.wait_for(recorded[self.server.tenants[n % 2]], seconds=1)
            self.assertEqual(len(follower.events), 1)

    def test_a_tenant_is_left_and_listened_to_again(self):
        for _ in range(3):
            follower = self.follow(self.tenant).wait_for_start()
            self.assert_rings(follower, self.tenant)
            follower.close()
        self.assert_rings(self.follow(self.tenant).wait_for_start(), self.tenant)

    def test_earlier_events_are_there_for_who_asks(self):
        recorded = [self.recorder.record(self.tenant) for _ in range(3)]
        follower = self.follow(self.tenant, query="?minutes=60")
        follower.wait_for(recorded[-1])
        self.assertEqual(follower.ids(), recorded)
        self.assertEqual(self.follow(self.tenant, query="?minutes=soon").status, 400)

    def test_a_cursor_that_is_of_no_use_is_refused(self):
        theirs = self.follow(self.other).wait_for_start()
        theirs.wait_for(self.recorder.record(self.other))
        for cursor in ("nonsense", theirs.last_id):
            follower = self.follow(self.tenant, cursor)
            follower.join(10)
            self.assertFalse(follower.is_alive(), "the response ends")
            self.assertEqual([refusal["sqlstate"] for refusal in follower.refusals], ["22023"])
            self.assertEqual(follower.events, [])


if __name__ == "__main__":
    summary.run(argv=sys.argv[:1])
