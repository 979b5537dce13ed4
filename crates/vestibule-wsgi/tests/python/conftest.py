"""Starts real servers and talks to them by raw sockets, so that every byte of an answer is seen."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PATIENCE = 30


class Server:
    """`python -m vestibule_wsgi`, with what it writes to its log in `log()`."""

    def __init__(
        self,
        target,
        *options,
        python=(),
        cwd=HERE,
        env=None,
        ready=True,
        group=False,
        where="127.0.0.1:0",
        umask=None,
    ):
        self.errors = tempfile.TemporaryFile("w+b")
        self.lines = tempfile.TemporaryFile("w+b")
        self.process = subprocess.Popen(
            [sys.executable, *python, "-m", "vestibule_wsgi", target, "--listen", where, *options],
            cwd=cwd,
            env={**os.environ, "NO_COLOR": "1", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=self.lines,
            stderr=self.errors,
            start_new_session=group,
            umask=-1 if umask is None else umask,
        )
        self.port = None
        if ready:
            self.wait_for(r"vestibule: listening")
            port = re.search(r"at https?://127\.0\.0\.1:(\d+)/", self.log())
            self.port = int(port.group(1)) if port else None

    def log(self):
        """What went to standard error."""
        return os.pread(self.errors.fileno(), 1 << 24, 0).decode("utf-8", "replace")

    def access(self):
        """What went to standard output: the access log, and what the app prints."""
        return os.pread(self.lines.fileno(), 1 << 24, 0).decode("utf-8", "replace")

    def wait_for(self, pattern, count=1, where=None):
        """Waits until the log has a text so many times."""
        look = where or self.log
        end = time.monotonic() + PATIENCE
        while len(re.findall(pattern, look())) < count:
            assert time.monotonic() < end, f"no {pattern!r} in:\n{look()}"
            assert self.process.poll() is None or re.search(pattern, look()), look()
            time.sleep(0.02)

    def get(self, path, *headers, method="GET", body=b"", version="HTTP/1.1"):
        """One request on a connection of its own."""
        with self.connect() as client:
            return client.ask(path, *headers, "Connection: close", method=method, body=body, version=version)

    def connect(self):
        return Client(self.port)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Answer:
    """A response as it came: `is_whole` is false when it was cut."""

    def __init__(self, head, body, is_whole, raw):
        first, *lines = head.decode("latin-1").split("\r\n")
        self.version, self.status, self.reason = (first.split(" ", 2) + [""])[:3]
        self.status = int(self.status)
        self.lines = [tuple(line.split(": ", 1)) for line in lines]
        self.headers = {name.lower(): value for name, value in self.lines}
        self.body, self.is_whole, self.raw = body, is_whole, raw

    @property
    def text(self):
        return self.body.decode("latin-1")

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.headers} {self.body[:2000]!r} whole={self.is_whole}>"


class Client:
    """A raw connection."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.data = b""

    def send(self, data):
        self.socket.sendall(data)

    def request(self, path, *headers, method="GET", body=b"", version="HTTP/1.1"):
        lines = [f"{method} {path} {version}"]
        if not any(line.lower().startswith("host:") for line in headers):
            lines.append("Host: example.test")
        lines += headers
        if body and not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in headers):
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def ask(self, path, *headers, method="GET", body=b"", version="HTTP/1.1"):
        self.request(path, *headers, method=method, body=body, version=version)
        return self.answer(method)

    def more(self):
        """Reads what is there; false at the end."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.data += data
        return bool(data)

    def head(self):
        """The bytes of the next head, informational ones left out."""
        while True:
            while b"\r\n\r\n" not in self.data:
                assert self.more(), f"no answer: {self.data!r}"
            head, _, rest = self.data.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 1"):
                return head
            self.data = rest

    def begin(self):
        """Reads the next head, so that chunks can follow."""
        head = self.head()
        self.data = self.data[len(head) + 4 :]
        return head

    def answer(self, method="GET"):
        head = self.head()
        raw, self.data = self.data, self.data[len(head) + 4 :]
        headers = head.lower()
        status = int(head.split(b" ")[1])
        if method == "HEAD" or status in (204, 304):
            body, is_whole = b"", True
        elif b"transfer-encoding: chunked" in headers:
            body, is_whole = self.chunks()
        elif length := re.search(rb"content-length: (\d+)", headers):
            length = int(length.group(1))
            while len(self.data) < length and self.more():
                pass
            body, self.data = self.data[:length], self.data[length:]
            is_whole = len(body) == length
        else:
            while self.more():
                pass
            body, self.data, is_whole = self.data, b"", True
        return Answer(head, body, is_whole, raw)

    def line(self):
        while b"\r\n" not in self.data:
            if not self.more():
                return None
        line, _, self.data = self.data.partition(b"\r\n")
        return line

    def chunk(self):
        """The next chunk; b"" is the last, None a cut."""
        size = self.line()
        if not size:
            return None
        size = int(size, 16)
        while len(self.data) < size + 2:
            if not self.more():
                return None
        chunk, self.data = self.data[:size], self.data[size + 2 :]
        return chunk

    def chunks(self):
        body = b""
        while chunk := self.chunk():
            body += chunk
        return body, chunk == b""

    def is_closed(self):
        return not self.data and not self.more()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


@pytest.fixture(scope="session")
def checked():
    """The lawful probes under wsgiref.validate, whose warnings are errors."""
    with Server("probes:checked", "--processes", "1", "--threads", "4", python=("-W", "error::wsgiref.validate.WSGIWarning")) as server:
        yield server
        assert "AssertionError" not in server.log(), server.log()


@pytest.fixture(scope="session")
def raw():
    """The probes that break rules, with no checker between."""
    with Server("probes:app", "--processes", "1", "--threads", "4", "--environ", "DEPLOYED_AS=probe", "--no-compression") as server:
        yield server


@pytest.fixture(scope="session")
def single():
    with Server("probes:app", "--processes", "2", "--threads", "1") as server:
        yield server


def at_once(count, call):
    """Calls from so many threads at the same time; gives what they returned."""
    results = [None] * count

    def one(number):
        results[number] = call(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return results
