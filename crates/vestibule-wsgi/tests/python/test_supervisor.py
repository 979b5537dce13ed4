"""The life of workers: starts, replacements, signals and the end."""

import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import under_load
from conftest import PATIENCE, Server

APP = """
import os, sys, time
STARTED = {started!r}
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{{STARTED}} {{os.getpid()}} {{os.getcwd()}}".encode()]
"""
HANGS = "import time\ntime.sleep(1e5)\n"


@pytest.fixture
def site(tmp_path):
    write(tmp_path, "first")
    return tmp_path


def write(site, started, before=""):
    (site / "site_app.py").write_text(before + APP.format(started=started))


def serving(process, log):
    """The server of a process that writes to the file `log`, once it listens."""
    until(lambda: "vestibule: listening" in log.read_text() or process.poll() is not None)
    assert process.poll() is None, log.read_text()
    server = Server.__new__(Server)
    server.port = int(re.search(r"at http://127\.0\.0\.1:(\d+)/", log.read_text()).group(1))
    return server


def until(condition, server=None, patience=2 * PATIENCE):
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, server.log() if server else ""
        time.sleep(0.02)


def worker_of(server):
    return int(server.get("/").text.split()[1])


def starts_with(server, text):
    return lambda: server.get("/").text.startswith(text)


# Starts and replacements.


@pytest.mark.parametrize("reason", ["max-requests", "SIGHUP", "a changed file", "SIGTERM to the worker"])
def test_a_replacement_is_tried_again_as_long_as_its_reason_lasts(site, reason):
    options = {"max-requests": ["--max-requests", "10"], "a changed file": ["--reload"]}.get(reason, [])
    with Server("site_app:app", "--processes", "1", *options, cwd=site) as server:
        first = worker_of(server)
        write(site, "broken", before="1/0\n")
        if reason == "SIGHUP":
            server.process.send_signal(signal.SIGHUP)
        if reason == "SIGTERM to the worker":
            os.kill(first, signal.SIGTERM)
        until(lambda: server.get("/").status and "the old worker stays" in server.log(), server)
        assert worker_of(server) == first
        if reason == "a changed file":
            # The next change is tried at once; without one, the last is tried again.
            server.wait_for("the old worker stays", 2)
        write(site, "mended")
        until(starts_with(server, "mended"), server)


def test_a_later_sighup_ends_a_start_that_hangs(site):
    with Server("site_app:app", "--processes", "1", cwd=site) as server:
        write(site, "hangs", before=HANGS)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("a worker has been starting for 5s, and still loads the app")
        assert server.get("/").text.startswith("first")
        write(site, "second")
        server.process.send_signal(signal.SIGHUP)
        until(starts_with(server, "second"), server)


def test_a_start_that_hangs_and_ignores_sigterm_is_killed(site):
    ignores = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ignores', flush=True)\n" + HANGS
    with Server("site_app:app", "--processes", "1", cwd=site) as server:
        write(site, "hangs", before=ignores)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("ignores", where=server.access)
        write(site, "second")
        server.process.send_signal(signal.SIGHUP)
        until(starts_with(server, "second"), server)
        server.wait_for("did not end in time, and is killed")
        until(lambda: len(under_load.children(server.process.pid)) == 1)


def test_a_start_has_a_limit(site):
    with Server("site_app:app", "--processes", "1", "--start-timeout", "2s", cwd=site) as server:
        write(site, "hangs", before=HANGS)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("the old worker stays, since a new one could not begin: it did not serve within 2s")
        write(site, "second")
        until(starts_with(server, "second"), server)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
def test_a_first_start_that_hangs_is_logged_and_can_be_ended(site, sent):
    write(site, "hangs", before=HANGS)
    with Server("site_app:app", "--processes", "2", cwd=site, ready=False) as server:
        server.wait_for("a worker has been starting for 5s")
        write(site, "mended")
        server.process.send_signal(sent)
        if sent == signal.SIGTERM:
            assert server.process.wait(PATIENCE) == 0
        else:
            server.wait_for("vestibule: listening", 2)


def test_a_worker_that_dies_is_replaced(site):
    with Server("site_app:app", "--processes", "1", cwd=site) as server:
        first = worker_of(server)
        os.kill(first, signal.SIGKILL)
        server.wait_for("a worker has ended, and is replaced")
        until(lambda: worker_of(server) != first, server)


def test_an_app_that_cannot_be_imported_at_first_is_a_page_with_reload(site):
    (site / "site_app.py").write_text("import no_such_<module>")
    with Server("site_app:app", "--processes", "2", "--reload", cwd=site) as server:
        answer = server.get("/any", "Host: localhost")
        assert answer.status == 500 and "SyntaxError" in answer.text and "no_such_&lt;module&gt;" in answer.text
        # A name that is not this machine's may be another site's, which its page would read.
        answer = server.get("/any", "Host: example.test")
        assert answer.status == 500 and "SyntaxError" not in answer.text
        (site / "site_app.py").write_text("1/0")
        until(lambda: "ZeroDivisionError" in server.get("/", "Host: localhost").text, server)
        write(site, "mended")
        until(lambda: server.get("/").text.startswith("mended"), server)
        server.wait_for("vestibule: listening", 4)


def test_reload_sees_what_was_imported_through_a_link(site, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "library").mkdir()
    module = elsewhere / "library" / "__init__.py"
    module.write_text("NAME = 'one'\n")
    (site / "library").symlink_to(elsewhere / "library")
    (site / "site_app.py").write_text("from library import NAME\n" + APP.format(started="x").replace("'x'", "NAME"))
    with Server("site_app:app", "--processes", "1", "--reload", cwd=site) as server:
        assert server.get("/").text.startswith("one")
        # The supervisor learns of modules within a second or two.
        time.sleep(3)
        module.write_text("NAME = 'two'\n")
        until(starts_with(server, "two"), server)


# Deploys.


@pytest.mark.parametrize("how", ["--chdir", "a relative --chdir", "the working directory"])
def test_a_release_that_is_switched_by_a_link_is_taken(tmp_path, how):
    for release in ["r1", "r2"]:
        (tmp_path / release / "lib").mkdir(parents=True)
        (tmp_path / release / "static").mkdir()
        (tmp_path / release / "static" / "name.txt").write_text(release)
        (tmp_path / release / "lib" / "library.py").write_text(f"NAME = {release!r}\n")
        text = "from library import NAME\n" + APP.format(started=release)
        (tmp_path / release / "site_app.py").write_text(text.replace('f"{STARTED}', 'f"{STARTED}/{NAME}'))
    current = tmp_path / "current"
    current.symlink_to("r1")
    options = ["--processes", "1", "--static", "/static=static", "--pythonpath", "lib"]
    cwd, env = tmp_path, {}
    if how == "--chdir":
        options += ["--chdir", str(current)]
    elif how == "a relative --chdir":
        options += ["--chdir", "current"]
    else:
        # As a shell does it.
        cwd, env = current, {"PWD": str(current)}
    with Server("site_app:app", *options, cwd=cwd, env=env) as server:
        assert server.get("/").text.startswith("r1/r1 ")
        current.unlink()
        current.symlink_to("r2")
        server.process.send_signal(signal.SIGHUP)
        until(starts_with(server, "r2/r2 "), server)
        until(lambda: server.get("/static/name.txt").text == "r2", server)


def test_no_request_is_lost_while_workers_are_replaced():
    lost, answers, replaced = under_load.deploy(1500)
    assert lost == [] and sum(answers.values()) >= 1500
    assert all(answers[f"200 {release}"] for release in ["r1", "r2", "r3"]) and len(answers) == 3


# The end.


@pytest.mark.parametrize("processes", [1, 2, 0])
@pytest.mark.parametrize("is_slow", [False, True])
def test_sigterm_loses_no_request(processes, is_slow):
    for _ in range(2):
        lost, _ = under_load.drain(processes, is_slow)
        assert lost == []


def test_sigterm_to_all_processes_at_once_loses_no_request():
    """As a service manager does it."""
    for _ in range(3):
        lost, _ = under_load.drain(2, True, whole_service=True)
        assert lost == []


def test_a_unix_socket_is_left_without_a_loss(site, tmp_path):
    path = tmp_path / "app.sock"
    with Server("site_app:app", "--processes", "2", "--listen", f"unix:{path}", cwd=site, ready=False) as server:
        server.wait_for("vestibule: listening", 2)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(50)]
        for client in clients:
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        server.process.send_signal(signal.SIGTERM)
        for client in clients:
            client.settimeout(PATIENCE)
            assert client.recv(9) == b"HTTP/1.1 "
        assert server.process.wait(PATIENCE) == 0
        assert not path.exists()


def test_a_drain_delay_goes_on_to_accept(site):
    with Server("site_app:app", "--processes", "2", "--drain-delay", "3s", cwd=site) as server:
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("draining; a second signal ends at once")
        time.sleep(1)
        assert server.get("/").text.startswith("first")
        assert server.process.wait(PATIENCE) == 0


def test_a_second_signal_ends_at_once(site):
    write(site, "slow", before="import time\n")
    (site / "slow_app.py").write_text("import time\ndef app(environ, start_response):\n    print('asleep', flush=True)\n    time.sleep(1e5)\n")
    with Server("slow_app:app", "--processes", "1", cwd=site) as server, server.connect() as client:
        client.request("/")
        server.wait_for("asleep", where=server.access)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("draining")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("output", ["a file", "a pipe"])
def test_a_worker_with_a_stuck_thread_flushes_and_runs_atexit(site, output):
    (site / "stuck_app.py").write_text(
        "import atexit, time\n"
        "atexit.register(lambda: print('at the exit'))\n"
        "def app(environ, start_response):\n"
        "    print('in request', environ['PATH_INFO'])\n"
        "    time.sleep(1e5)\n"
    )
    with Server("stuck_app:app", "--processes", "1", "--drain-timeout", "1s", cwd=site) as server, server.connect() as client:
        client.request("/a")
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0
        assert "in request /a" in server.access() and "at the exit" in server.access()


# Signals.

HARMLESS = ["SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGTTIN", "SIGTTOU"]


@pytest.mark.parametrize("processes", ["0", "1", "2"])
def test_signals_that_are_for_a_log_or_a_terminal_do_no_harm(site, processes):
    (site / "slow_app.py").write_text(
        "import time\n"
        "def app(environ, start_response):\n"
        "    time.sleep(2)\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [b'done']\n"
    )
    with Server("slow_app:app", "--processes", processes, cwd=site) as server, server.connect() as client:
        server.wait_for("vestibule: listening", max(int(processes), 1))
        client.request("/")
        time.sleep(0.3)
        before = under_load.children(server.process.pid)
        for name in HARMLESS:
            for pid in [server.process.pid, *before]:
                os.kill(pid, getattr(signal, name))
            time.sleep(0.05)
        assert client.answer().text == "done"
        assert under_load.children(server.process.pid) == before
        assert "has ended" not in server.log()


def test_signals_do_no_harm_to_a_worker_that_starts(site):
    write(site, "first", before="import time\ntime.sleep(2)\n")
    with Server("site_app:app", "--processes", "1", cwd=site, ready=False) as server:
        until(lambda: under_load.children(server.process.pid))
        while "vestibule: listening" not in server.log():
            for pid in under_load.children(server.process.pid):
                for name in HARMLESS:
                    os.kill(pid, getattr(signal, name))
            time.sleep(0.01)
            assert server.process.poll() is None, server.log()
        assert "could not begin" not in server.log()


@pytest.mark.parametrize("processes", ["0", "1", "2"])
@pytest.mark.parametrize("when", ["it serves", "it starts"])
def test_ctrl_c_ends_without_a_word_of_python(site, processes, when):
    if when == "it starts":
        write(site, "hangs", before="print('imports', flush=True)\n" + HANGS)
    with Server("site_app:app", "--processes", processes, cwd=site, ready=False, group=True) as server:
        if when == "it starts":
            server.wait_for("imports", where=server.access)
        else:
            server.wait_for("vestibule: listening", max(int(processes), 1))
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.process.wait(PATIENCE) in (0, 130)
        assert "Traceback" not in server.log() and "KeyboardInterrupt" not in server.log()


@pytest.mark.parametrize("processes", ["0", "1"])
@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD"])
def test_signal_handlers_of_the_app_run(site, processes, name):
    (site / "signal_app.py").write_text(
        "import os, signal, threading\n"
        "SEEN = []\n"
        f"signal.signal(signal.{name}, lambda *_: SEEN.append(threading.current_thread().name))\n"
        "def app(environ, start_response):\n"
        f"    if environ['PATH_INFO'] == '/kill': os.kill(os.getpid(), signal.{name})\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [repr(SEEN).encode()]\n"
    )
    with Server("signal_app:app", "--processes", processes, cwd=site) as server:
        assert server.get("/").text == "[]"
        server.get("/kill")
        until(lambda: server.get("/").text == "['MainThread']", server)


def test_a_handler_that_fails_is_logged_and_one_that_exits_replaces_the_worker(site):
    (site / "signal_app.py").write_text(
        "import os, signal, sys\n"
        "signal.signal(signal.SIGUSR1, lambda *_: 1 / 0)\n"
        "signal.signal(signal.SIGUSR2, lambda *_: sys.exit(0))\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [f'x {os.getpid()}'.encode()]\n"
    )
    with Server("signal_app:app", "--processes", "1", cwd=site) as server:
        first = worker_of(server)
        os.kill(first, signal.SIGUSR1)
        server.wait_for("a signal handler has failed.*(.|\n)*ZeroDivisionError")
        assert worker_of(server) == first
        os.kill(first, signal.SIGUSR2)
        until(lambda: worker_of(server) != first, server)


def test_sigterm_to_one_worker_replaces_it(site):
    with Server("site_app:app", "--processes", "1", cwd=site) as server:
        first = worker_of(server)
        os.kill(first, signal.SIGTERM)
        until(lambda: worker_of(server) != first, server)
        assert "a worker is replaced: it was sent SIGTERM" in server.log()
        assert "has ended" not in server.log()


# The service manager.


class Manager:
    """What systemd hears at NOTIFY_SOCKET."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.heard = []

    def listen(self, seconds=0.05):
        while select.select([self.socket], [], [], seconds)[0]:
            self.heard.append(self.socket.recv(4096).decode())

    def wait_for(self, pattern, count=1):
        def is_heard():
            self.listen()
            return sum(bool(re.search(pattern, it)) for it in self.heard) >= count

        end = time.monotonic() + PATIENCE
        while not is_heard():
            assert time.monotonic() < end, self.heard


@pytest.mark.parametrize("processes", ["1", "2"])
def test_the_service_manager_is_told(site, tmp_path, processes):
    manager = Manager(tmp_path / "notify")
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    with Server("site_app:app", "--processes", processes, cwd=site, env=env) as server:
        manager.wait_for("^READY=1$")
        manager.wait_for(f"^STATUS=workers: {processes} serving, 0 starting, 0 retiring$")
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        write(site, "second")
        server.process.send_signal(signal.SIGHUP)
        manager.wait_for(r"^RELOADING=1\nMONOTONIC_USEC=\d+$")
        (reloading,) = [it for it in manager.heard if it.startswith("RELOADING")]
        assert int(reloading.rpartition("=")[2]) >= before
        manager.wait_for("^READY=1$", 2)
        assert server.get("/").text.startswith("second"), "the reload is done"
        write(site, "broken", before="1/0\n")
        server.process.send_signal(signal.SIGHUP)
        manager.wait_for("^READY=1$", 3)
        manager.wait_for("^STATUS=.*the last start failed: exit status: 3")
        server.process.send_signal(signal.SIGTERM)
        manager.wait_for("^STOPPING=1$")
        order = [it.split("=")[0] for it in manager.heard if not it.startswith("STATUS")]
        assert order == ["READY", "RELOADING", "READY", "RELOADING", "READY", "STOPPING"]


def test_ready_is_not_said_before_a_worker_serves(site, tmp_path):
    manager = Manager(tmp_path / "notify")
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    server = Server("no_such_module:app", "--processes", "2", cwd=site, env=env, ready=False)
    assert server.process.wait(PATIENCE) == 3
    manager.listen()
    assert not any("READY" in it for it in manager.heard)


def test_without_a_supervisor_the_service_manager_is_told_as_well(site, tmp_path):
    manager = Manager(tmp_path / "notify")
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "500000"}
    with Server("site_app:app", "--processes", "0", cwd=site, env=env) as server:
        manager.wait_for("^READY=1$")
        manager.wait_for("^WATCHDOG=1$", 3)
        server.process.send_signal(signal.SIGTERM)
        manager.wait_for("^STOPPING=1$")


def test_the_watchdog_is_told_only_while_workers_live(site, tmp_path):
    manager = Manager(tmp_path / "notify")
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
    with Server("site_app:app", "--processes", "1", cwd=site, env=env) as server:
        manager.wait_for("^WATCHDOG=1$", 3)
        worker = worker_of(server)
        os.kill(worker, signal.SIGSTOP)
        try:

            def is_silent():
                manager.listen(0)
                manager.heard.clear()
                manager.listen(3)
                return not any("WATCHDOG" in it for it in manager.heard)

            until(is_silent)
        finally:
            os.kill(worker, signal.SIGCONT)
        manager.wait_for("^WATCHDOG=1$")


# The process around it.


def test_process_1_waits_for_orphans(site):
    (site / "orphans_app.py").write_text(
        "import os, subprocess\n"
        "def app(environ, start_response):\n"
        "    if environ['PATH_INFO'] == '/make': subprocess.run(['sh', '-c', '(sleep .3) &'])\n"
        "    states = []\n"
        "    for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "        try: states.append(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[0])\n"
        "        except OSError: pass\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [str(states.count('Z')).encode()]\n"
    )
    log = open(site / "log", "w+b")
    # Without root, by a namespace of users.
    namespaces = "-pf" if os.geteuid() == 0 else "-rpf"
    command = ["unshare", namespaces, "--kill-child", "--mount-proc", sys.executable, "-m", "vestibule_wsgi", "orphans_app:app"]
    process = subprocess.Popen([*command, "--processes", "1", "--listen", "127.0.0.1:0"], cwd=site, stderr=log, stdout=log)
    try:
        server = serving(process, site / "log")
        for _ in range(5):
            assert server.get("/make").status == 200
        time.sleep(1)
        until(lambda: server.get("/").text == "0")
    finally:
        process.kill()
        process.wait()


def test_without_a_supervisor_its_options_are_refused_all_at_once(site):
    server = Server("site_app:app", "--processes", "0", "--reload", "--max-requests", "9", "--max-memory", "9", cwd=site, ready=False)
    assert server.process.wait(PATIENCE) == 2
    for option in ["--reload", "--max-requests", "--max-memory"]:
        assert f"vestibule: {option} needs a supervisor" in server.log()


@pytest.mark.parametrize("limit", [64, 40])
def test_a_low_limit_on_open_files_is_enough_or_is_named(site, limit):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        server = Server("site_app:app", "--processes", "2", cwd=site, ready=False)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with server:
        until(lambda: server.process.poll() is not None or "vestibule: listening" in server.log())
        if server.process.poll() is None:
            server.port = int(re.search(r"at http://127\.0\.0\.1:(\d+)/", server.log()).group(1))
            assert server.get("/").text.startswith("first")
        else:
            assert f"the limit on open files is {limit}, which is too low" in server.log()


def test_workers_have_the_paths_of_a_launcher(site, tmp_path):
    import vestibule_wsgi

    packages = Path(vestibule_wsgi.__file__).parent.parent
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "library.py").write_text("NAME = 'handed over'\n")
    (site / "site_app.py").write_text("from library import NAME\n" + APP.format(started="x").replace("'x'", "NAME"))
    launcher = tmp_path / "launch.py"
    launcher.write_text(
        "import sys\n"
        f"sys.path.append({str(packages)!r})\n"
        f"sys.path.append({str(tmp_path / 'extra')!r})\n"
        "from vestibule_wsgi.__main__ import main\n"
        "main()\n"
    )
    # The interpreter without its packages, as a zipapp finds it.
    command = [sys.executable, "-I", "-S", str(launcher), "site_app:app", "--listen", "127.0.0.1:0", "--processes", "1"]
    log = open(tmp_path / "log", "w+b")
    process = subprocess.Popen(command, cwd=site, stderr=log, stdout=log)
    try:
        server = serving(process, tmp_path / "log")
        assert server.get("/").text.startswith("handed over")
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.mark.parametrize("processes", ["0", "1"])
def test_modules_of_the_project_are_not_taken_for_the_hosts(site, processes):
    names = ["resource", "subprocess", "threading", "traceback", "signal", "atexit"]
    for name in names:
        (site / f"{name}.py").write_text(f"print('the project\\'s {name} was imported')\n")
    # A console script does not put the directory on sys.path; `-m` does, before anything of ours runs.
    script = "import sys; sys.path.pop(0); from vestibule_wsgi.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", script, "site_app:app", "--listen", "127.0.0.1:0", "--processes", processes]
    log = open(site / "log", "w+b")
    process = subprocess.Popen(command, cwd=site, stderr=log, stdout=log)
    try:
        server = serving(process, site / "log")
        for _ in range(40):
            assert server.get("/").status == 200
        assert "the project's" not in (site / "log").read_text()
    finally:
        process.terminate()
        process.wait(PATIENCE)
    (site / "log").read_text()


def test_a_project_has_its_own_module_of_a_name_that_the_host_uses(site):
    (site / "resource.py").write_text("NAME = 'of the project'\n")
    (site / "site_app.py").write_text("from resource import NAME\n" + APP.format(started="x").replace("'x'", "NAME"))
    with Server("site_app:app", "--processes", "1", cwd=site) as server:
        for _ in range(20):
            assert server.get("/").text.startswith("of the project")


# Hooks, and what the environment says.


def test_hooks_are_called_with_the_number_of_each_worker(site):
    (site / "hooks.py").write_text(
        "import os\n"
        "def started(pid): print('started', pid, os.getpid() == pid, flush=True)\n"
        "def ended(pid): print('ended', pid, os.getpid() == pid, flush=True)\n"
    )
    options = ["--processes", "1", "--on-worker-start", "hooks:started", "--on-worker-exit", "hooks:ended"]
    with Server("site_app:app", *options, cwd=site) as server:
        first = worker_of(server)
        assert f"started {first} True\n" in server.access()
        os.kill(first, signal.SIGKILL)
        server.wait_for(f"ended {first} False\n", where=server.access)
        until(lambda: server.access().count("started ") == 2)
        second = worker_of(server)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0
        assert f"ended {second} False\n" in server.access(), "the last one, too"


@pytest.mark.parametrize("option", ["--on-worker-start", "--on-worker-exit"])
@pytest.mark.parametrize("target", ["no_such_hooks:f", "site_app:nothing", "site_app:STARTED"])
def test_a_hook_that_cannot_be_found_ends_the_start(site, option, target):
    server = Server("site_app:app", "--processes", "1", option, target, cwd=site, ready=False)
    assert server.process.wait(PATIENCE) in (1, 3)
    assert "vestibule: listening" not in server.log()
    assert any(text in server.log() for text in ["No module named", "has no attribute", "cannot be called"]), server.log()


def test_a_hook_that_fails_is_logged(site):
    (site / "hooks.py").write_text("def ended(pid): 1 / 0\n")
    with Server("site_app:app", "--processes", "1", "--on-worker-exit", "hooks:ended", cwd=site) as server:
        os.kill(worker_of(server), signal.SIGKILL)
        server.wait_for("the hook for a worker's exit has failed")
        until(lambda: server.get("/").text.startswith("first"))


def test_the_environment_gives_the_port_and_the_number_of_processes(site):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "PORT": str(port), "WEB_CONCURRENCY": "3"}
    log = open(site / "log", "w+b")
    process = subprocess.Popen([sys.executable, "-m", "vestibule_wsgi", "site_app:app"], cwd=site, env=env, stderr=log, stdout=log)
    try:
        until(lambda: (site / "log").read_text().count("vestibule: listening") == 3 or process.poll() is not None)
        server = Server.__new__(Server)
        server.port = port
        assert server.get("/").text.startswith("first"), (site / "log").read_text()
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0
