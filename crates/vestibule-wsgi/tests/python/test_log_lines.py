"""Lines of the log, where several processes write to one pipe: none is torn.

`LINES=1000000 pytest tests/python/test_log_lines.py` (`just wsgi-log`) writes a million of each kind.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest

from conftest import HERE, PATIENCE, Client

LINES = int(os.environ.get("LINES", "2000"))

#: Paths shorter and longer than a pipe takes in one piece, which is 4,096 bytes.
SIZES = [10, 3000, 5000, 7500]

COMBINED = re.compile(r'127\.0\.0\.1 - - \[[^]]+\] "GET /(a+|b+|c+|d+) HTTP/1\.1" 200 2 "-" "-"')


def path_of_combined(line):
    match = COMBINED.fullmatch(line)
    return match and match.group(1)


def path_of_json(line):
    try:
        return json.loads(line)["url.path"][1:]
    except (ValueError, KeyError):
        return None


def path_of_logfmt(line):
    match = re.search(r'url\.path="?/(a+|b+|c+|d+)"?( |$)', line)
    return match and line.count("url.path") == 1 and match.group(1)


def path_of_apache(line):
    match = re.fullmatch(r"<(/(a+|b+|c+|d+)) 200>", line)
    return match and match.group(2)


FORMATS = {"combined": path_of_combined, "json": path_of_json, "logfmt": path_of_logfmt, "<%U %>s>": path_of_apache}


def pipe():
    read, write = os.pipe()
    return os.fdopen(read, "rb"), os.fdopen(write, "wb")


def stream():
    """What journald hands out."""
    read, write = socket.socketpair()
    return read.makefile("rb"), write.makefile("wb")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("place", [pipe, stream])
def test_no_line_is_torn(form, place):
    reader, writer = place()
    read, write = os.pipe()
    server = subprocess.Popen(
        [sys.executable, "-m", "vestibule_wsgi", "log_app:app", "-p", "3", "--listen", "127.0.0.1:0", "--log-format", form, "--max-header-bytes", "65536", "--no-compression"],
        cwd=HERE,
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=write,
        env={**os.environ, "NO_COLOR": "1"},
    )
    writer.close()
    os.close(write)
    port, listening, lines = None, 0, []
    with os.fdopen(read, "r") as errors:
        while listening < 3:
            line = errors.readline()
            assert line, "the server has ended"
            listening += "listening" in line
            port = port or (match := re.search(r"at http://127\.0\.0\.1:(\d+)/", line)) and int(match.group(1))
        collect = threading.Thread(target=lambda: lines.extend(reader))
        drain = threading.Thread(target=errors.read)
        collect.start()
        drain.start()
        threads = [threading.Thread(target=ask, args=(port, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.send_signal(signal.SIGTERM)
        server.wait(PATIENCE)
        collect.join(PATIENCE)
        drain.join(PATIENCE)
    paths = [FORMATS[form](line.decode("latin-1").rstrip("\n")) for line in lines]
    torn = [line for line, path in zip(lines, paths) if not path or len(path) not in SIZES]
    assert not torn, (len(torn), torn[0][:300])
    print(len(paths), "lines, none torn")
    # A reader that is slower than the server costs whole lines, which the log tells of.
    assert len(paths) == 8 * (LINES // 8) or LINES > 10_000


def ask(port, number):
    """Requests on one connection."""
    with Client(port) as client:
        for at in range(LINES // 8):
            size = SIZES[(at + number) % 4]
            assert client.ask("/" + "abcd"[(at + number) % 4] * size).status == 200
