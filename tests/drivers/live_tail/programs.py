"""What the stories of examples/live_tail share: the programs as processes, a client of
server-sent events, and somebody who records.

The environment says DATABASE_URL, CLUSTER (its folder), WORK (where the libraries are) and
LIVE_TAIL (the program in Rust).
"""

import http.client
import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg.types.json import Jsonb

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples" / "live_tail"
WORK = Path(os.environ["WORK"])
URL = os.environ["DATABASE_URL"]
# By this name the program's connections are told from those of the tests.
PROGRAM_URL = f"{URL}&application_name=live_tail"


def wait_until(condition, seconds=10, what="what was waited for"):
    """Returns what the condition returns, once that is true."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what} has not come within {seconds} s")
        time.sleep(0.01)
    return result


def crash_database():
    subprocess.run([ROOT / "scripts" / "cluster", "crash", os.environ["CLUSTER"]], check=True)


class Recorder:
    """Records for tenants, and remembers the ids in the order of their commits."""

    def __init__(self):
        self.connection = None
        self.recorded = {}

    def query(self, statement, parameters=()):
        if self.connection is None or self.connection.closed:
            self.connection = psycopg.connect(URL, autocommit=True)
        return self.connection.execute(statement, parameters).fetchall()

    def record(self, tenant, actor="alice", object_id=None, metadata=None, action="auth.logout"):
        statement = """SELECT activity.record(%s, %s, tenant_id => %s, actor_id => %s, object_id => %s)::text"""
        [[event_id]] = self.query(statement, (action, Jsonb(metadata), tenant, actor, object_id))
        self.recorded.setdefault(tenant, []).append(event_id)
        return event_id

    def close(self):
        if self.connection is not None:
            self.connection.close()


class Flood(threading.Thread):
    """Records for a tenant until it is told to stop, with rollbacks in between."""

    def __init__(self, tenant):
        super().__init__(daemon=True)
        self.tenant, self.recorder, self.stopped = tenant, Recorder(), threading.Event()
        self.start()

    def run(self):
        while not self.stopped.wait(0.002):
            self.recorder.record(self.tenant)
            with self.recorder.connection.transaction(force_rollback=True):
                self.recorder.query("SELECT activity.record('auth.logout', tenant_id => %s)", (self.tenant,))

    def count(self):
        return len(self.recorder.recorded.get(self.tenant, ()))

    def stop(self):
        self.stopped.set()
        self.join()
        self.recorder.close()
        return self.recorder.recorded[self.tenant]


class Process:
    """A program that is started, killed as by kill -9, and started again."""

    def __init__(self, command, environment, folder, output):
        self.command, self.environment = command, {**os.environ, "DATABASE_URL": PROGRAM_URL, **environment}
        self.folder, self.output, self.process = folder, output, None

    def start(self):
        with open(self.output, "ab") as output, open(f"{self.output}.errors", "ab") as errors:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env=self.environment, stdout=output, stderr=errors
            )

    def kill(self):
        self.process.kill()
        self.process.wait()


class Server(Process):
    """An example that serves /events, with a token for each of some tenants."""

    def __init__(self, language):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.tenants = [str(uuid4()) for _ in range(2)]
        environment = {
            "TOKENS": json.dumps({self.token(tenant): tenant for tenant in self.tenants}),
            "PORT": str(self.port),
        }
        commands = {
            "python": [WORK / "python/bin/python", "-B", "-m", "uvicorn", "live_tail:app", "--port", str(self.port)],
            "node": ["node", "server.js"],
        }
        # JavaScript finds its packages in the folders above the program's.
        folders = {"python": EXAMPLES / "python", "node": WORK / "live_tail" / "node"}
        output = WORK / f"live_tail_{language}.output"
        super().__init__(commands[language], environment, folders[language], output)

    def token(self, tenant):
        return f"token-of-{tenant}"

    def start(self):
        super().start()
        wait_until(self.is_up, what="the server's port")

    def is_up(self):
        if self.process.poll() is not None:
            raise AssertionError(Path(f"{self.output}.errors").read_text())
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def follow(self, tenant, last_id=None, query=""):
        return Follower(self.port, self.token(tenant), last_id, query)


class Follower(threading.Thread):
    """One response of server-sent events, read as the standard says until it ends."""

    def __init__(self, port, token, last_id=None, query=""):
        super().__init__(daemon=True)
        self.last_id, self.events, self.arrivals, self.refusals = last_id, [], {}, []
        headers = {"Authorization": f"Bearer {token}"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        self.connection = http.client.HTTPConnection("127.0.0.1", port)
        self.connection.request("GET", f"/events{query}", headers=headers)
        self.response = self.connection.getresponse()
        self.status = self.response.status
        if self.status == 200:
            self.start()

    def run(self):
        fields = {}
        try:
            for line in self.response:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                else:
                    self.take(fields)
                    fields = {}
        except (http.client.HTTPException, OSError, ValueError, AttributeError):
            pass  # The server was killed in the middle of a message: that one does not count.

    def take(self, fields):
        if "data" in fields:
            data = json.loads(fields["data"])
            if fields.get("event") == "refused":
                self.refusals.append(data)
            else:
                self.events.append(data)
                self.arrivals[data["event_id"]] = time.monotonic()
        self.last_id = fields.get("id", self.last_id)

    def ids(self):
        return [event["event_id"] for event in self.events]

    def wait_for_start(self):
        wait_until(lambda: self.last_id, what="the first id")
        return self

    def wait_for(self, event_id, seconds=10):
        wait_until(lambda: event_id in self.arrivals, seconds, "the event")

    def close(self):
        """As a browser that leaves."""
        if self.response.fp is not None:
            # What another thread is reading can't be closed under it, but its socket can end.
            stream = socket.socket(fileno=os.dup(self.response.fileno()))
            stream.shutdown(socket.SHUT_RDWR)
            stream.close()
        if self.status == 200:
            self.join()
        self.connection.close()
