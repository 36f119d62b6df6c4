"""The story of the example that prints a tenant's events and keeps its cursor in a file."""

import json
import os
import tempfile
import time
import unittest
from pathlib import Path
from uuid import uuid4

import summary
from programs import Flood, Process, Recorder, crash_database, wait_until

PAGE_SIZE = 500


class Story(unittest.TestCase):
    """One test per sentence."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder, self.tenant, self.recorder = Path(folder.name), str(uuid4()), Recorder()
        self.addCleanup(self.recorder.close)
        self.cursor_file, self.output = self.folder / "cursor", self.folder / "output"
        command = [os.environ["LIVE_TAIL"], self.tenant, str(self.cursor_file)]
        self.program = Process(command, {}, self.folder, self.output)

    def start(self):
        self.program.start()
        self.addCleanup(self.program.kill)
        wait_until(self.cursor_file.exists, what="the file of the cursor")

    def events(self):
        """The whole lines that were printed."""
        return [json.loads(line) for line in self.output.read_bytes().split(b"\n")[:-1]]

    def ids(self):
        return [event["event_id"] for event in self.events()]

    def wait_for(self, event_id, seconds=10):
        wait_until(lambda: event_id in self.ids(), seconds, "the event")

    def wait_until_kept(self):
        """Until the cursor is behind all that was printed."""
        [last] = self.events()[-1:]
        behind = "SELECT count(event_id) FROM activity.read_stream(%s, cursor => %s)"

        def kept():
            cursor = self.cursor_file.read_text().strip()
            return self.recorder.query(behind, (last["tenant_id"], cursor)) == [(0,)]

        wait_until(kept, what="the cursor")

    def test_an_event_is_printed_within_a_second_and_whole(self):
        self.start()
        for _ in range(3):
            time.sleep(0.3)
            self.wait_for(self.recorder.record(self.tenant), seconds=1)
        metadata = {"text": 'Grüße, 東京 "quoted" \\ \u2028\r\n\n', "number": 12345678901234567890}
        self.wait_for(self.recorder.record(self.tenant, metadata=metadata))
        self.assertEqual(self.events()[-1]["metadata"], metadata)
        self.assertEqual(self.ids(), self.recorder.recorded[self.tenant])

    def test_killed_while_it_waits_nothing_is_lost_and_nothing_comes_twice(self):
        self.start()
        for _ in range(3):
            for _ in range(5):
                recorded = self.recorder.record(self.tenant)
            self.wait_for(recorded)
            self.wait_until_kept()
            self.program.kill()
            self.recorder.record(self.tenant)
            self.start()
        self.wait_for(self.recorder.recorded[self.tenant][-1])
        self.assertEqual(self.ids(), self.recorder.recorded[self.tenant])

    def test_killed_in_the_middle_nothing_is_lost_and_at_most_a_page_comes_again(self):
        self.start()
        flood, kills = Flood(self.tenant), 5
        for number in range(1, kills + 1):
            wait_until(lambda: len(self.events()) > 40 * number, what="events")
            self.program.kill()
            self.start()
        recorded = flood.stop()
        self.wait_for(recorded[-1])
        printed = self.ids()
        self.assertEqual(list(dict.fromkeys(printed)), recorded)
        self.assertLessEqual(len(printed) - len(recorded), kills * PAGE_SIZE)

    def test_killed_before_the_first_event_it_misses_nothing(self):
        self.start()
        self.program.kill()
        recorded = self.recorder.record(self.tenant)
        self.start()
        self.wait_for(recorded)

    def test_the_database_crashes_and_it_goes_on(self):
        self.start()
        self.wait_for(self.recorder.record(self.tenant))
        self.wait_until_kept()
        crash_database()
        self.recorder.close()
        self.wait_for(self.recorder.record(self.tenant))
        self.wait_for(self.recorder.record(self.tenant), seconds=1)
        self.assertEqual(self.ids(), self.recorder.recorded[self.tenant])

    def test_another_tenant_is_not_printed(self):
        self.start()
        self.recorder.record(str(uuid4()))
        self.wait_for(self.recorder.record(self.tenant))
        self.assertEqual(self.ids(), self.recorder.recorded[self.tenant])

    def test_a_cursor_that_is_of_no_use_ends_it(self):
        self.cursor_file.write_text("nonsense\n")
        self.program.start()
        self.addCleanup(self.program.kill)
        self.assertNotEqual(self.program.process.wait(10), 0)
        self.assertIn("cursor", Path(f"{self.output}.errors").read_text())
        self.assertEqual(self.cursor_file.read_text(), "nonsense\n")


if __name__ == "__main__":
    summary.run()
