"""Clients that count lost requests while a server ends or changes its workers.

A request is lost when `connect` succeeded, the request was written whole, and neither an answer nor, on the same
connection, an earlier `Connection: close` came.

    python under_load.py drain RUNS     SIGTERM with each number of processes, with and without a slow request in flight
    python under_load.py deploy COUNT   so many requests while workers are replaced for every reason
"""

import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from conftest import PATIENCE, Server

APP = """
import time
RELEASE = {release!r}
def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep({slow})
    body = RELEASE.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


class Clients:
    """Threads that send one request after the other, on connections that are kept for a while."""

    def __init__(self, port, count):
        self.port = port
        self.lock = threading.Lock()
        self.answers, self.lost = Counter(), []
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self.work) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def work(self):
        while not self.is_over.is_set():
            try:
                connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
            except OSError:
                # Nothing listens any more.
                return
            with connection:
                for _ in range(20):
                    if self.is_over.is_set() or not self.ask(connection, "/"):
                        break

    def ask(self, connection, path):
        """False when the connection is to be left."""
        request = f"GET {path} HTTP/1.1\r\nHost: example.test\r\n\r\n".encode()
        data = b""
        try:
            connection.sendall(request)
        except OSError:
            # It was not written whole.
            return False
        try:
            while True:
                head, _, body = data.partition(b"\r\n\r\n")
                if body and len(body) >= int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]):
                    break
                more = connection.recv(65536)
                if not more:
                    raise ConnectionResetError("the end came before the answer")
                data += more
        except OSError as error:
            with self.lock:
                self.lost.append(f"{path}: {error!r} after {data!r}")
            return False
        with self.lock:
            self.answers[(head.split(b" ")[1] + b" " + body).decode()] += 1
        return b"connection: close" not in head.lower()

    def join(self):
        for thread in self.threads:
            thread.join(2 * PATIENCE)


def drain(processes, is_slow, count=40, whole_service=False):
    """SIGTERM under load. Returns the lost requests and the number of answers."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "loaded.py").write_text(APP.format(release="first", slow=1.5))
        options = ["--processes", str(processes), "--threads", "4", "--no-compression", "--log-format", "%s"]
        with Server("loaded:app", *options, cwd=directory) as server:
            clients = Clients(server.port, count)
            if is_slow:
                slow = Clients(server.port, 0)
                slow.threads = [threading.Thread(target=lambda: slow.ask(socket.create_connection(("127.0.0.1", server.port)), "/slow"))]
                slow.threads[0].start()
            end = time.monotonic() + PATIENCE
            while sum(clients.answers.values()) < 5 * count:
                assert time.monotonic() < end, server.log()
                time.sleep(0.02)
            pids = [server.process.pid] + (children(server.process.pid) if whole_service else [])
            for pid in pids:
                os.kill(pid, signal.SIGTERM)
            status = server.process.wait(2 * PATIENCE)
            clients.join()
            lost = list(clients.lost)
            if is_slow:
                slow.join()
                lost += slow.lost
                lost += [] if slow.answers else ["the slow request has no answer"]
            assert status == 0, server.log()
            return lost, sum(clients.answers.values())


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def deploy(count, processes=2, clients=8):
    """Requests while workers are replaced: SIGHUPs, a link that is switched, `--max-requests`, and a broken release with
    its repair. Returns the lost requests and the answers by release."""
    with tempfile.TemporaryDirectory() as directory:
        site = Path(directory)
        for release in ["r1", "r2"]:
            (site / release).mkdir()
            (site / release / "loaded.py").write_text(APP.format(release=release, slow=0))
        current = site / "current"
        current.symlink_to("r1")
        options = ["--processes", str(processes), "--threads", "4", "--max-requests", "100", "--log-format", "%s"]
        with Server("loaded:app", "--chdir", str(current), *options, cwd=site) as server:
            load = Clients(server.port, clients)

            def answered(release, at_least):
                end = time.monotonic() + 4 * PATIENCE
                before = load.answers[f"200 {release}"]
                while load.answers[f"200 {release}"] < before + at_least:
                    assert time.monotonic() < end, server.log()
                    time.sleep(0.01)

            def reload():
                server.process.send_signal(signal.SIGHUP)

            def switch(release):
                (site / "next").symlink_to(release)
                (site / "next").rename(current)

            try:
                step = count // 6
                answered("r1", step)
                reload()
                answered("r1", step)
                switch("r2")
                reload()
                answered("r2", step)
                source = site / "r2" / "loaded.py"
                good = source.read_text()
                source.write_text("1/0\n" + good)
                reload()
                server.wait_for("the old worker stays")
                answered("r2", step)
                source.write_text(good.replace("'r2'", "'r3'"))
                reload()
                answered("r3", step)
                while sum(load.answers.values()) < count:
                    time.sleep(0.01)
            finally:
                load.is_over.set()
                load.join()
            answers = dict(load.answers)
            # The last release is that of all workers in the end.
            end = time.monotonic() + 4 * PATIENCE
            texts = []
            while texts[-20:] != ["r3"] * 20:
                texts.append(server.get("/").text)
                assert time.monotonic() < end, server.log()
            replaced = server.log().count("it has served")
        return load.lost, answers, replaced


def main():
    what, number = sys.argv[1], int(sys.argv[2])
    if what == "deploy":
        lost, answers, replaced = deploy(number)
        print(f"{sum(answers.values())} requests: {answers}, {replaced} replacements by --max-requests, {len(lost)} lost")
        sys.exit(bool(lost))
    is_any_lost = False
    for processes in [1, 2, 0]:
        for is_slow in [False, True]:
            total, answered, worst = 0, 0, 0
            for _ in range(number):
                lost, answers = drain(processes, is_slow)
                total, answered, worst = total + len(lost), answered + answers, max(worst, len(lost))
                for text in lost[:3]:
                    print(text, file=sys.stderr)
            name = "with a slow request" if is_slow else "without a slow request"
            print(f"-p {processes} {name}: {number} runs, {answered} answers, {total} lost, {worst} of 40 in the worst run", flush=True)
            is_any_lost |= total > 0
    sys.exit(is_any_lost)


if __name__ == "__main__":
    main()
