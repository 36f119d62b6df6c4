"""A headless Chromium, told what to do over a pair of pipes (Chrome DevTools Protocol)."""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile


def chromium():
    return shutil.which("chromium")


class Browser:
    def __init__(self):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        arguments = [
            chromium(),
            "--headless",
            "--remote-debugging-pipe",
            f"--user-data-dir={self.profile.name}",
            "--no-first-run",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            # It opens our own page, and neither root nor most containers can have the sandbox.
            "--no-sandbox",
        ]
        self.last_call = 0
        self.start(arguments)
        [target] = [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self.session = attached["sessionId"]

    def start(self, arguments):
        """Chromium reads from its descriptor 3 and writes to 4; a shell puts them there."""
        self.session = None
        pipes = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in os.pipe() + os.pipe()]
        to_read, self.to, self.back, to_write = pipes
        shell = ["bash", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "bash"]
        self.process = subprocess.Popen(
            shell + arguments,
            pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # A profile of its own in the home folder as well, and none of the caller's settings.
            env={"PATH": os.environ["PATH"], "HOME": self.profile.name},
            start_new_session=True,
        )
        os.close(to_read)
        os.close(to_write)
        self.answers = os.fdopen(self.back, "rb")

    def message(self):
        text = bytearray()
        while (byte := self.answers.read(1)) != b"\0":
            if not byte:
                raise AssertionError("Chromium has ended")
            text += byte
        return json.loads(text)

    def call(self, method, **parameters):
        self.last_call += 1
        message = {"id": self.last_call, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while (answer := self.message()).get("id") != self.last_call:
            pass
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    def evaluate(self, expression):
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def open(self, address):
        self.call("Page.navigate", url=address)

    def type(self, selector, text):
        """As a person does: the field gets the focus, its text is replaced."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).select()")
        if text:
            self.call("Input.insertText", text=text)
        else:
            for kind in ("keyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=kind, key="Delete", code="Delete", windowsVirtualKeyCode=46)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.to)
        self.answers.close()
        self.profile.cleanup()
