"""The story of the example's page, seen in Chromium."""

import unittest

import summary
from browser import Browser, chromium
from programs import Recorder, Server, wait_until

SHOWN = """[...document.querySelectorAll('#events li')].filter(item => item.checkVisibility())
    .map(item => item.dataset.eventId)"""


@unittest.skipUnless(chromium(), "there is no Chromium: make deps installs it")
class Story(unittest.TestCase):
    """One test per sentence; each has a tenant of its own."""

    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        self.server = Server("node")
        self.addCleanup(self.server.kill)
        self.server.start()
        self.tenant, self.other = self.server.tenants
        self.recorder = Recorder()
        self.addCleanup(self.recorder.close)
        self.address = f"http://127.0.0.1:{self.server.port}/"

    def page(self, expression):
        return self.browser.evaluate(expression)

    def wait(self, expression, value):
        """Until the expression has this value in the page."""
        wait_until(lambda: self.page(expression) == value, what=f"{expression}: {value!r}")

    def wait_for_state(self, state):
        self.wait("document.querySelector('#state')?.textContent", state)

    def sign_in(self):
        self.browser.open(self.address)
        self.wait_for_state("signed out")
        self.browser.type("#sign-in input", self.server.token(self.tenant))
        self.page("document.querySelector('#sign-in button').click()")
        self.wait_for_state("live")

    def wait_for_events(self, event_ids):
        """Until these are shown and no others, the newest above."""
        self.wait(SHOWN, event_ids[::-1])

    def test_who_signs_in_sees_the_tenant_live_and_no_other(self):
        earlier = self.recorder.record(self.tenant)
        self.sign_in()
        self.wait_for_events([earlier])
        self.assertEqual(self.page("document.querySelector('#tenant').textContent"), self.tenant)
        self.recorder.record(self.other)
        self.recorder.record(self.tenant, actor="bob", object_id="user-7")
        self.wait_for_events(self.recorder.recorded[self.tenant])
        text = self.page("document.querySelector('#events li').innerText")
        for part in ("auth.logout", "bob", "user-7"):
            self.assertIn(part, text)

    def test_a_wrong_token_signs_nobody_in(self):
        self.browser.open(self.address)
        self.wait_for_state("signed out")
        self.browser.type("#sign-in input", "wrong")
        self.page("document.querySelector('#sign-in button').click()")
        self.wait("document.body.innerText.trim()", "unknown token")

    def test_the_text_of_an_event_never_runs(self):
        self.sign_in()
        attack = """<img src=x onerror="window.ran = 1"><script>window.ran = 2</script>"""
        attacks = {f"</pre>{attack}": [f"\"'>{attack}", "</script><script>window.ran = 3</script>"]}
        object_id = f'"><svg onload="window.ran = 4">{attack}'
        hostile = self.recorder.record(self.tenant, actor=attack, object_id=object_id, metadata=attacks)
        self.wait_for_events([hostile])
        self.page("document.querySelector('#events details').open = true")
        shown = self.page("document.querySelector('#events .actor').textContent")
        self.assertEqual(shown, attack)
        self.assertIn("</pre><img", self.page("document.querySelector('#events pre').innerText"))
        elements = "[...new Set([...document.querySelectorAll('#events *')].map(e => e.localName))].sort()"
        self.assertEqual(self.page(elements), ["details", "li", "pre", "span", "summary", "time"])
        # As long as an image takes to fail, and more.
        self.wait_for_events([hostile, self.recorder.record(self.tenant)])
        self.assertIsNone(self.page("window.ran"))

    def test_what_would_run_were_it_markup_is_stopped_as_well(self):
        self.sign_in()
        self.page("""document.querySelector('#nothing').innerHTML = '<img src=x onerror="window.ran = 1">'""")
        self.page("new Promise(resolve => setTimeout(resolve, 200))")
        self.assertIsNone(self.page("window.ran"))

    def test_the_tail_is_filtered_by_action_and_actor(self):
        self.sign_in()
        record = self.recorder.record
        role = {"old_role": "member", "new_role": "admin"}
        logout = record(self.tenant, actor="alice")
        promoted = record(self.tenant, actor="alice", action="user.role_changed", metadata=role)
        bob = record(self.tenant, actor="Bob")
        self.wait_for_events([logout, promoted, bob])
        self.browser.type("#action", "auth.*")
        self.wait_for_events([logout, bob])
        self.browser.type("#actor", "bo")
        self.wait_for_events([bob])
        # What comes is filtered as what is there.
        record(self.tenant, actor="alice")
        later = record(self.tenant, actor="bob")
        self.wait_for_events([bob, later])
        self.assertEqual(self.page("document.querySelector('#count').textContent"), "2 of 5 events")
        self.browser.type("#action", "")
        self.browser.type("#actor", "")
        self.wait_for_events(self.recorder.recorded[self.tenant])

    def test_the_server_is_killed_and_the_page_goes_on_where_it_was(self):
        self.sign_in()
        self.wait_for_events([self.recorder.record(self.tenant)])
        self.server.kill()
        self.wait_for_state("reconnecting")
        for _ in range(3):
            self.recorder.record(self.tenant)
        self.server.start()
        self.wait_for_state("live")
        self.recorder.record(self.tenant)
        self.wait_for_events(self.recorder.recorded[self.tenant])


if __name__ == "__main__":
    summary.run()
