"""`examples/flask_app` in Chromium: a person's way through it."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from conftest import PATIENCE, Server

EXAMPLE = Path(__file__).parents[4] / "examples" / "flask_app"


class Browser:
    """Chromium, by the DevTools protocol over a pair of pipes."""

    def __init__(self, profile):
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        assert program, "install Debian's package chromium"
        ours, self.out = os.pipe()
        self.source, theirs = os.pipe()
        options = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --remote-debugging-pipe"
        # It reads from descriptor 3 and writes to 4, which the shell makes of these.
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$0" {options} --user-data-dir="$1" 3<&{ours} 4>&{theirs}', program, profile],
            pass_fds=(ours, theirs),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ours)
        os.close(theirs)
        self.number, self.data, self.session = 0, b"", None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.data:
                more = os.read(self.source, 65536)
                assert more, "Chromium has ended"
                self.data += more
            one, _, self.data = self.data.partition(b"\0")
            answer = json.loads(one)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def evaluate(self, expression, **options):
        result = self.call("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in result, result
        return result["result"]

    def wait_for(self, expression):
        """Waits until an expression is true; while a page is exchanged it may fail."""
        end = time.monotonic() + PATIENCE
        while True:
            result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
            if result["result"].get("value"):
                return result["result"]["value"]
            assert time.monotonic() < end, (expression, self.evaluate("document.body.innerText", returnByValue=True))
            time.sleep(0.02)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.out)
        os.close(self.source)


@pytest.fixture
def browser():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        yield browser
        browser.close()


def test_a_visit(browser, tmp_path):
    upload = tmp_path / "upload.bin"
    upload.write_bytes(os.urandom(300_000))
    digest = hashlib.sha256(upload.read_bytes()).hexdigest()[:16]
    with Server("app:app", "--processes", "2", "--static", "/static=./static", cwd=EXAMPLE, env={"VESTIBULE_SECRET": "for tests"}) as server:
        browser.call("Page.navigate", url=f"http://127.0.0.1:{server.port}/")
        browser.wait_for("document.querySelector('#name')?.innerText == 'stranger'")
        # The style sheet came from Rust.
        browser.wait_for("getComputedStyle(document.querySelector('main')).maxWidth == '544px'")

        browser.evaluate("document.querySelector('[name=name]').value = 'Ada <b>'; document.querySelector('form').requestSubmit()")
        browser.wait_for("document.querySelector('#name')?.innerText == 'Ada <b>'")

        field = browser.evaluate("document.querySelector('[type=file]')")["objectId"]
        browser.call("DOM.setFileInputFiles", objectId=field, files=[str(upload)])
        browser.evaluate("document.querySelectorAll('form')[1].requestSubmit()")
        browser.wait_for(f"document.querySelector('.message')?.innerText == 'upload.bin: 300000 bytes, SHA-256 {digest}'")

        # The session is in a cookie, so each of the workers knows it.
        for _ in range(5):
            browser.call("Page.reload")
            browser.wait_for("document.querySelector('#name')?.innerText == 'Ada <b>' && !document.querySelector('.message')")
        browser.evaluate("document.querySelectorAll('form')[2].requestSubmit()")
        browser.wait_for("document.querySelector('#name')?.innerText == 'stranger'")
        assert "Traceback" not in server.log(), server.log()
        server.wait_for('"GET /static/style.css HTTP/1.1" 200', where=server.access)
