"""What others notice of a Python app that misbehaves: files beside it, a pool that is stuck, workers that die.

    python benches/wsgi/faults.py [--kills 20]

It needs vestibule-wsgi (a release build) in the environment of the Python that runs it, and flask.
"""

import argparse
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
PROGRAM = Path(sys.executable).parent / "vestibule-wsgi"


class Server:
    def __init__(self, *options):
        self.log = tempfile.TemporaryFile("w+b")
        command = [PROGRAM, "app:faulty", "--listen", "127.0.0.1:0", "--no-log", *options]
        self.process = subprocess.Popen([str(part) for part in command], cwd=HERE, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log)
        while not (place := re.search(rb"at http://127\.0\.0\.1:(\d+)/", os.pread(self.log.fileno(), 65536, 0))):
            assert self.process.poll() is None, os.pread(self.log.fileno(), 65536, 0).decode()
            time.sleep(0.01)
        self.port = int(place.group(1))
        self.ask("/")

    def ask(self, path, client=None):
        """The status, or None when the connection breaks."""
        own = client or socket.create_connection(("127.0.0.1", self.port), 60)
        try:
            own.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = own.recv(65536)
            return int(answer.split(b" ")[1]) if answer else None
        except ConnectionError:
            return None
        finally:
            if own is not client:
                own.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def files(title, path, hogs, processes):
    """The times of 2,000 requests for a file while Python is busy."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.txt").write_text("from Rust")
        server = Server("--processes", processes, "--threads", "2", "--timeout", "0", "--static", f"/static={folder}")
        threads = [threading.Thread(target=server.ask, args=(path,), daemon=True) for _ in range(hogs)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        times = []
        # Connections of their own, so that all workers are asked.
        for _ in range(40):
            with socket.create_connection(("127.0.0.1", server.port), 60) as client:
                for _ in range(50):
                    start = time.perf_counter()
                    assert server.ask("/static/a.txt", client) == 200
                    times.append((time.perf_counter() - start) * 1e3)
        server.process.kill()
        server.process.wait()
    cuts = statistics.quantiles(times, n=100)
    print(f"{title:44}{cuts[49]:10.2f}{cuts[98]:10.2f}{max(times):10.2f}")


def stuck(timeout):
    """How long those wait that no thread is free for."""
    server = Server("--processes", "0", "--threads", "2", "--timeout", timeout)
    threads = [threading.Thread(target=server.ask, args=("/sleep",), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        assert server.ask("/") == 503
        times.append(time.perf_counter() - start)
    server.process.kill()
    server.process.wait()
    print(f"all threads stuck, --timeout {timeout}: 503 after {min(times):.2f} to {max(times):.2f} s")


def kills(count):
    """From the death of the only worker to the next answer."""
    server = Server("--processes", "1", "--threads", "2")
    for path in ["/segfault", "/exit"]:
        times = []
        for _ in range(count):
            # Those that die young are waited for, on purpose.
            time.sleep(2.1)
            assert server.ask(path) is None
            start = time.perf_counter()
            assert server.ask("/") == 200
            times.append((time.perf_counter() - start) * 1e3)
        print(f"{path:12} {count} times: next answer after {min(times):.0f} / {statistics.median(times):.0f} / {max(times):.0f} ms (least, median, most)")
    server.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    args = parser.parse_args()
    print(f"{'a file, ms':44}{'p50':>10}{'p99':>10}{'most':>10}")
    files("nothing else", "/", 0, 2)
    files("each thread in a loop, 2 processes", "/loop", 4, 2)
    files("a call into C that keeps the interpreter", "/hold", 1, 1)
    files("all threads stuck", "/sleep", 2, 1)
    stuck("1s")
    kills(args.kills // 2)


if __name__ == "__main__":
    main()
