"""The story of docs/drivers.md, told with one Python driver; the assertions are here.

Usage: story.py with_psycopg|with_asyncpg|with_sqlalchemy   (tests/drivers/run sets the environment)
"""

import json
import subprocess
import sys
import unittest
from uuid import uuid4

import summary
from drivers import DRIVERS

CLIENT_IP = "203.0.113.7"
PROMOTION = {"old_role": "member", "new_role": "admin", "reason_detail": "Grüße, 東京 \"quoted\" \\"}
WHO_AM_I = "SELECT pg_backend_pid() AS backend, activity.context() AS context"


class Story(unittest.IsolatedAsyncioTestCase):
    """One test per sentence."""

    driver_name = sys.argv[1]

    async def asyncSetUp(self):
        self.driver = DRIVERS[self.driver_name]()
        self.tenant = str(uuid4())
        self.pool = await self.driver.connect(2)

    async def asyncTearDown(self):
        await self.driver.close(self.pool)

    def transaction(self, actor="alice", tenant=None):
        return self.driver.transaction(self.pool, tenant or self.tenant, actor, CLIENT_IP)

    async def events(self, tenant=None, page_size=50):
        return await self.driver.read_all(self.pool, tenant or self.tenant, page_size)

    async def refused(self, *event):
        """The SQLSTATE, detail and hint of an event that must be refused."""
        with self.assertRaises(Exception) as caught:
            async with self.transaction() as connection:
                await self.driver.record(connection, *event)
        return self.driver.snippet.refusal(caught.exception)

    async def test_the_documented_program_runs(self):
        program = [sys.executable, self.driver.program]
        done = subprocess.run(program, capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, "^3 events; 23514 {.*'problems': .*} activity.check_event.*\n$")

    async def test_an_event_carries_the_context_of_its_transaction(self):
        async with self.transaction() as connection:
            event_id = await self.driver.record(connection, "user.role_changed", PROMOTION, "user-7")
        [event] = await self.events()
        self.assertEqual(event["event_id"], event_id)
        self.assertEqual(str(event["tenant_id"]), self.tenant)
        self.assertEqual(event["actor_id"], "alice")
        self.assertEqual(event["ip_prefix"], "203.0.113.0/24")
        self.assertEqual(event["object_id"], "user-7")
        self.assertEqual(event["metadata"], PROMOTION)

    async def test_a_null_counts_as_not_given(self):
        async with self.transaction() as connection:
            await self.driver.record(connection, "auth.logout", None, None)
        [event] = await self.events()
        self.assertIsNone(event["object_id"])
        self.assertEqual(event["metadata"], {})

    async def test_metadata_that_was_encoded_twice_is_stored_as_the_object(self):
        async with self.transaction() as connection:
            await self.driver.record(connection, "user.role_changed", json.dumps(PROMOTION))
        [event] = await self.events()
        self.assertEqual(event["metadata"], PROMOTION)

    async def test_an_array_of_events_is_recorded_at_once(self):
        batch = [
            {"action": "user.role_changed", "metadata": PROMOTION, "idempotency_key": "once"},
            {"action": "auth.logout", "actor_id": "bob"},
            {"action": "user.role_changed", "metadata": PROMOTION, "idempotency_key": "once"},
        ]
        async with self.transaction() as connection:
            rows = await self.driver.record_many(connection, batch)
        self.assertEqual([row["ordinal"] for row in rows], [1, 2, 3])
        self.assertEqual([row["inserted"] for row in rows], [True, True, False])
        self.assertEqual(rows[0]["event_id"], rows[2]["event_id"])
        self.assertEqual([event["actor_id"] for event in await self.events()], ["bob", "alice"])

    async def test_a_bad_event_of_an_array_is_named_and_nothing_is_written(self):
        batch = [{"action": "auth.logout"}, {"action": "no.such.action"}]
        with self.assertRaises(Exception) as caught:
            async with self.transaction() as connection:
                await self.driver.record_many(connection, batch)
        sqlstate, detail, hint = self.driver.snippet.refusal(caught.exception)
        self.assertEqual(sqlstate, "42704")
        self.assertEqual([problem["ordinal"] for problem in detail], [2])
        self.assertEqual(detail[0]["error"]["sqlstate"], "42704")
        self.assertIn("skip", hint)
        self.assertEqual(list(await self.events()), [])

    async def test_a_log_is_read_page_by_page_to_its_end(self):
        recorded = []
        async with self.transaction() as connection:
            for number in range(8):
                recorded.append(await self.driver.record(connection, "auth.logout", {}, str(number)))
        for page_size in (1, 3, 4, 50):
            read = [event["event_id"] for event in await self.events(page_size=page_size)]
            self.assertEqual(read, recorded[::-1], f"pages of {page_size}")

    async def test_another_tenant_reads_nothing(self):
        async with self.transaction() as connection:
            await self.driver.record(connection, "auth.logout")
        self.assertEqual(list(await self.events(tenant=str(uuid4()))), [])

    async def test_an_unknown_action_is_told_by_its_sqlstate(self):
        sqlstate, detail, hint = await self.refused("no.such.action")
        self.assertEqual(sqlstate, "42704")
        self.assertIsNone(detail)
        self.assertIn("register_action", hint)

    async def test_a_schema_mismatch_says_where_and_repeats_no_payload(self):
        metadata = {"old_role": "member", "new_role": 20230710}
        sqlstate, detail, hint = await self.refused("user.role_changed", metadata)
        self.assertEqual(sqlstate, "23514")
        self.assertEqual(detail["problems"][0]["pointer"], "/new_role")
        self.assertNotIn("20230710", json.dumps(detail))
        self.assertIn("check_event", hint)

    async def test_a_rolled_back_transaction_leaves_no_event(self):
        class Failed(Exception):
            pass

        with self.assertRaises(Failed):
            async with self.transaction() as connection:
                await self.driver.record(connection, "auth.logout")
                raise Failed
        self.assertEqual(list(await self.events()), [])

    async def test_the_next_user_of_the_connection_has_no_context(self):
        pool = await self.driver.connect(1)
        try:
            async with self.driver.transaction(pool, self.tenant, "alice", CLIENT_IP) as connection:
                mine = await self.driver.row(connection, WHO_AM_I)
            async with self.driver.without_context(pool) as connection:
                next_one = await self.driver.row(connection, WHO_AM_I)
                with self.assertRaises(Exception) as caught:
                    await self.driver.record(connection, "auth.logout")
        finally:
            await self.driver.close(pool)
        self.assertEqual(mine["context"]["actor_id"], "alice")
        self.assertEqual(next_one["backend"], mine["backend"])
        self.assertEqual(next_one["context"], {})
        self.assertEqual(self.driver.snippet.refusal(caught.exception)[0], "22004")

    async def test_transactions_at_the_same_time_keep_their_contexts(self):
        other = str(uuid4())
        async with self.transaction("alice") as mine, self.transaction("bob", other) as theirs:
            await self.driver.record(mine, "auth.logout")
            await self.driver.record(theirs, "auth.logout")
            await self.driver.record(mine, "auth.logout")
        self.assertEqual([event["actor_id"] for event in await self.events()], ["alice"] * 2)
        self.assertEqual([event["actor_id"] for event in await self.events(other)], ["bob"])


if __name__ == "__main__":
    summary.run(argv=sys.argv[:1])
