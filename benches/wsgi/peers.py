"""Hosts of WSGI apps beside each other: requests a second, and CPU time a request, two workers each.

    python benches/wsgi/peers.py [--seconds 4] [--rounds 3] [--only vestibule,uwsgi] [CASE ...]

It needs `wrk`, and in the environment of the Python that runs it the hosts: vestibule-wsgi (a release build),
gunicorn, granian, uwsgi, waitress, bjoern; and flask. The hosts take turns, the best of the rounds counts, and CPU time
is that of all processes of a host, as the kernel counts it. Waitress has one process; it gets two threads. uWSGI keeps
no connection over a response without a length, so for the two large cases it closes each.
"""

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
BJOERN = """
import os, sys, bjoern
sys.path.insert(0, ".")
import app
bjoern.listen(getattr(app, sys.argv[1]), "127.0.0.1", int(sys.argv[2]))
for _ in range(2):
    if os.fork() == 0:
        bjoern.run()
os.wait()
"""
HOSTS = {
    "vestibule": lambda app, port: [BIN / "vestibule-wsgi", f"app:{app}", "--listen", f"127.0.0.1:{port}", "--processes", "2", "--threads", "2", "--no-log", "--no-compression"],
    "bjoern": lambda app, port: [sys.executable, "-c", BJOERN, app, str(port)],
    "uwsgi": lambda app, port: [BIN / "uwsgi", *(["--http11-socket"] if app in ("bare", "site") else ["--http-socket"]), f"127.0.0.1:{port}", "--module", f"app:{app}", "--processes", "2", "--threads", "2", "--disable-logging", "--master", "--need-app", "--http-keepalive"],
    "granian": lambda app, port: [BIN / "granian", "--interface", "wsgi", f"app:{app}", "--host", "127.0.0.1", "--port", str(port), "--workers", "2", "--blocking-threads", "2", "--no-ws"],
    "waitress": lambda app, port: [BIN / "waitress-serve", "--listen", f"127.0.0.1:{port}", "--threads", "2", f"app:{app}"],
    "gunicorn": lambda app, port: [BIN / "gunicorn", f"app:{app}", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "2", "--worker-class", "gthread"],
}  # fmt: skip
CASES = ["bare", "flask", "stream", "upload"]
APPS = {"flask": "site"}
LUA = 'wrk.method = "POST"\nwrk.body = string.rep("x", 10 * 1024 * 1024)\n'


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu(group):
    """Seconds of CPU time of the processes of a group."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(host, case, seconds):
    port = free_port()
    command = HOSTS[host](APPS.get(case, case), port)
    server = subprocess.Popen([str(part) for part in command], cwd=HERE, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > end:
                    return None
                time.sleep(0.05)
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(LUA if case == "upload" else "")
            script.flush()
            connections = 4 if case in ("upload", "stream") else 32

            def load(duration):
                command = ["wrk", "-t1", f"-c{connections}", f"-d{duration}s", "-s", script.name, f"http://127.0.0.1:{port}/"]
                return subprocess.run(command, capture_output=True, text=True).stdout

            load(1)
            before = cpu(server.pid)
            told = load(seconds)
            spent = cpu(server.pid) - before
        done = int(re.search(r"(\d+) requests in", told).group(1))
        errors = re.findall(r"(Socket errors.*|Non-2xx.*)", told)
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", told).group(1))
        return (spent / max(done, 1) * 1e6, rate, errors) if done else None
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(server.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(HOSTS))
    parser.add_argument("cases", nargs="*", default=CASES)
    args = parser.parse_args()
    hosts = args.only.split(",")
    for case in args.cases or CASES:
        best = {}
        for _ in range(args.rounds):
            for host in hosts:
                got = measure(host, case, args.seconds)
                if got and (host not in best or got[0] < best[host][0]):
                    best[host] = got
        print(f"\n{case}\n{'host':12}{'CPU us/request':>16}{'ratio':>8}{'requests/s':>12}")
        own = best.get("vestibule", next(iter(best.values()), (1,)))[0]
        for host in sorted(best, key=lambda host: best[host][0]):
            spent, rate, errors = best[host]
            print(f"{host:12}{spent:16.1f}{spent / own:8.2f}{rate:12.0f}  {' '.join(errors)}")
        for host in set(hosts) - set(best):
            print(f"{host:12} did not answer")


if __name__ == "__main__":
    main()
