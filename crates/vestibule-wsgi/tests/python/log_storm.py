"""A million lines of the log by two processes into one pipe, from wrk: counts those that are torn.

`just wsgi-log`, or `python tests/python/log_storm.py [LINES] [FORMAT]`.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from test_log_lines import FORMATS, SIZES

HERE = Path(__file__).parent

SCRIPT = """
local names, sizes, at = {"a", "b", "c", "d"}, {%s}, 0
request = function()
    at = at + 1
    return wrk.format("GET", "/" .. string.rep(names[at %% 4 + 1], sizes[at %% 4 + 1]), {["User-Agent"] = "-"})
end
"""


def main(lines, form):
    read, write = os.pipe()
    said, say = os.pipe()
    options = ["-p", "2", "--listen", "127.0.0.1:0", "--log-format", form, "--max-header-bytes", "65536", "--no-compression"]
    server = subprocess.Popen([sys.executable, "-m", "vestibule_wsgi", "log_app:app", *options], cwd=HERE, stdout=write, stderr=say)
    os.close(write)
    os.close(say)
    errors = os.fdopen(said)
    port = None
    while not port:
        match = re.search(r"at http://127\.0\.0\.1:(\d+)/", errors.readline())
        port = match and match.group(1)
    threading.Thread(target=errors.read, daemon=True).start()
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT % ", ".join(map(str, SIZES)))
        script.flush()
        wrk = subprocess.Popen(["wrk", "-t1", "-c32", "-d3600s", "-s", script.name, f"http://127.0.0.1:{port}/"], stdout=subprocess.DEVNULL)
        # Without wrk there are no more lines, and the pipe has to end.
        threading.Thread(target=lambda: (wrk.wait(), server.send_signal(signal.SIGTERM)), daemon=True).start()
        count, torn = 0, 0
        check = FORMATS[form]
        with os.fdopen(read, "rb", 1 << 20) as pipe:
            for line in pipe:
                count += 1
                path = check(line.decode("latin-1").rstrip("\n"))
                torn += not path or len(path) not in SIZES
                if count == lines:
                    break
            wrk.terminate()
            while pipe.read(1 << 20):
                pass
        wrk.wait()
        server.wait()
    print(f"{form}: {count} of {lines} lines, {torn} torn")
    return torn or count < lines


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    sys.exit(bool(main(wanted, sys.argv[2] if len(sys.argv) > 2 else "combined")))
