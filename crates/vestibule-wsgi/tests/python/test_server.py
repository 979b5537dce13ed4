"""The supervisor and its workers, as an operator meets them."""

import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.request

import pytest

from conftest import PATIENCE, Server, at_once

APP = """
import os, sys, time
STARTED = {started!r}
def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.5)
    if environ["PATH_INFO"] == "/grow":
        app.kept = b"x" * (200 << 20)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{{STARTED}} {{os.getpid()}} {{os.getcwd()}} {{environ.get('REMOTE_USER', '-')}}".encode()]
"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "site_app.py").write_text(APP.format(started="first"))
    return tmp_path


def pids(server, count=40):
    return {server.get("/").text.split()[1] for _ in range(count)}


def test_it_says_what_it_runs(site):
    with Server("site_app:app", "--processes", "2", "--threads", "3", cwd=site) as server:
        version = ".".join(str(part) for part in sys.version_info[:3])
        assert "Serving site_app:app" in server.log()
        kind = "" if getattr(sys, "_is_gil_enabled", lambda: True)() else ", free-threaded,"
        assert f"with Python {version}{kind} in {os.path.realpath(sys.prefix)}" in server.log()
        assert "by 2 processes, with 3 threads each\n" in server.log()


def test_sigterm_lets_requests_end(site):
    with Server("site_app:app", "--processes", "2", cwd=site) as server:
        with server.connect() as client:
            client.request("/slow", "Connection: close")
            time.sleep(0.1)
            server.process.send_signal(signal.SIGTERM)
            assert client.answer().text.startswith("first")
        assert server.process.wait(PATIENCE) == 0


def test_sighup_replaces_all_and_loses_nothing(site):
    with Server("site_app:app", "--processes", "2", cwd=site) as server:
        server.wait_for("vestibule: listening", 2)
        (site / "site_app.py").write_text(APP.format(started="second"))
        server.process.send_signal(signal.SIGHUP)
        texts = []
        end = time.monotonic() + PATIENCE
        while sum(text.startswith("second") for text in texts[-10:]) < 10:
            texts.append(server.get("/").text)
            assert time.monotonic() < end
        assert all(texts)


def test_the_log_may_be_rotated_as_gunicorns_users_do(site):
    log = site / "access.log"
    with Server("site_app:app", "--processes", "1", "--log", str(log), cwd=site) as server:
        assert server.get("/before").status == 200
        server.wait_for("/before", where=log.read_text)
        log.rename(site / "access.log.1")
        server.process.send_signal(signal.SIGUSR1)
        end = time.monotonic() + PATIENCE
        while not log.exists() or "/after" not in log.read_text():
            assert server.get("/after").status == 200 and time.monotonic() < end
    assert "/before" in (site / "access.log.1").read_text()


def test_a_reload_that_fails_keeps_the_old(site):
    with Server("site_app:app", "--processes", "1", cwd=site) as server:
        (site / "site_app.py").write_text("this is no Python")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("the old worker stays")
        assert server.get("/").text.startswith("first")


def test_reload_watches_files(site):
    with Server("site_app:app", "--processes", "1", "--reload", cwd=site) as server:
        assert server.get("/").text.startswith("first")
        (site / "site_app.py").write_text(APP.format(started="changed"))
        end = time.monotonic() + PATIENCE
        while not server.get("/").text.startswith("changed"):
            assert time.monotonic() < end
        (site / "site_app.py").write_text("this is no Python")
        server.wait_for("the old worker stays")
        assert server.get("/").text.startswith("changed")


def test_max_requests(site):
    with Server("site_app:app", "--processes", "1", "--max-requests", "20", cwd=site) as server:
        (first,) = pids(server, 1)
        assert all(server.get("/").text for _ in range(30))
        server.wait_for("a worker is replaced: it has served 18 requests")
        end = time.monotonic() + PATIENCE
        while pids(server, 1) == {first}:
            assert time.monotonic() < end


def test_max_memory(site):
    with Server("site_app:app", "--processes", "1", "--max-memory", "150", cwd=site) as server:
        assert server.get("/grow").status == 200
        server.wait_for(r"a worker is replaced: it has \d+ MiB")


def test_a_body_that_breaks_off_is_a_408_or_a_400():
    with Server("probes:app", "--processes", "1", "--body-timeout", "300ms") as server, server.connect() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: example.test\r\nContent-Length: 9\r\n\r\nabc")
        assert client.answer().status == 408 and client.is_closed()
        server.wait_for("the upload broke off: the client stopped sending")
        assert server.get("/echo", method="POST", body=b"abc").text == "abc"
        answer = server.get("/echo", "Transfer-Encoding: chunked", method="POST", body=b"3\r\nabc\r\nzz\r\n")
        assert answer.status == 400, "a body that is badly framed is not the app's fault"


def test_an_app_that_cannot_be_loaded(site):
    for target, text in [("no_such_module:app", "No module named 'no_such_module'"), ("site_app:nothing", "has no attribute 'nothing'"), ("site_app:STARTED", "cannot be called")]:
        server = Server(target, "--processes", "2", cwd=site, ready=False)
        assert server.process.wait(PATIENCE) == 3
        assert server.log().count(text) == 1, "by the first worker, before there are others"


def test_chdir_and_pythonpath(site, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "other_app.py").write_text("from site_app import app")
    with Server("other_app:app", "--processes", "1", "--chdir", str(elsewhere), "--pythonpath", str(site), cwd="/") as server:
        assert server.get("/").text.split()[2] == str(elsewhere)
    server = Server("other_app:app", "--chdir", "nowhere", ready=False)
    assert server.process.wait(PATIENCE) == 1
    assert server.log() == "vestibule: cannot change to the directory `nowhere`: No such file or directory (os error 2)\n"


def test_paths_are_meant_from_where_it_changes_to(site, tmp_path):
    (site / "files").mkdir()
    (site / "files" / "a.txt").write_text("a file")
    options = ["--chdir", site.name, "--static", "/static=files", "--log", "access.log"]
    with Server("site_app:app", "--processes", "1", *options, cwd=site.parent) as server:
        assert server.get("/static/a.txt").text == "a file"
        assert server.get("/").text.split()[2] == str(site)
    assert "/static/a.txt" in (site / "access.log").read_text()


def test_workers_end_when_the_supervisor_is_killed(site):
    with Server("site_app:app", "--processes", "2", "--drain-timeout", "1s", cwd=site) as server:
        server.wait_for("vestibule: listening", 2)
        workers = [int(pid) for pid in pids(server)]
        server.process.kill()
        server.process.wait()
        end = time.monotonic() + PATIENCE
        while any(is_alive(pid) for pid in workers):
            assert time.monotonic() < end


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_passwords_and_the_access_log(site):
    program = subprocess.run(["openssl", "passwd", "-apr1", "secret"], capture_output=True, text=True, check=True)
    (site / ".users").write_text("alice:" + program.stdout)
    log = site / "access.log"
    with Server("site_app:app", "--processes", "1", "--htpasswd", str(site / ".users"), "--log", str(log), cwd=site) as server:
        assert server.get("/").status == 401
        answer = server.get("/", "Authorization: Basic YWxpY2U6c2VjcmV0")
        assert answer.status == 200 and answer.text.split()[3] == "alice"
    assert "alice" in log.read_text() and '" 401 ' in log.read_text()


def test_a_debug_page_for_this_machine(site):
    with Server("probes:app", "--processes", "1", "--debug") as server:
        answer = server.get("/raises?value", "Host: localhost")
        assert answer.status == 500 and "a &lt;value&gt; &amp; more" in answer.text and "Traceback" in answer.text
        # A name that is not this machine's may be another site's, which its page would read.
        assert "Traceback" not in server.get("/raises?value", "Host: example.test").text


def test_the_queue_is_bounded_and_its_time_logged():
    with Server("probes:app", "--processes", "1", "--threads", "1", "--queue", "1", "--log-format", "%s %U %{queue_time}n") as server:
        with server.connect() as first, server.connect() as second:
            first.request("/sleeps")
            server.wait_for("sleeping")
            second.request("/one")
            statuses = [answer.status for answer in at_once(4, lambda _: server.get("/thread"))]
            assert 503 in statuses
            assert second.answer().status == 200
            server.wait_for(r"200 /one \d+\n", where=server.access)
            (waited,) = re.findall(r"200 /one (\d+)\n", server.access())
            assert int(waited) > 10_000, "microseconds"


def test_only_a_trusted_proxy_gives_ids():
    for options, expected in [((), False), (("--trust-proxy", "127.0.0.1"), True), (("--trust-proxy", "192.0.2.1"), False)]:
        with Server("probes:app", "--processes", "1", "--threads", "1", *options) as server:
            answer = server.get("/one", "X-Request-Id: from-outside")
            assert (answer.headers["x-request-id"] == "from-outside") == expected


def test_tls(site):
    certificate = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "chain.pem"]
    subprocess.run(certificate, cwd=site, check=True, capture_output=True)
    options = ["--processes", "2", "--tls", "chain.pem,key.pem", "--redirect-https", "127.0.0.1:0"]
    with Server("site_app:app", *options, cwd=site, ready=False) as server:
        server.wait_for("vestibule: listening")
        (secure,) = re.findall(r"at https://127\.0\.0\.1:(\d+)/", server.log())
        (server.port,) = re.findall(r"at http://127\.0\.0\.1:(\d+)/", server.log())
        context = ssl.create_default_context(cafile=site / "chain.pem")
        context.check_hostname = False
        with urllib.request.urlopen(f"https://127.0.0.1:{secure}/", context=context) as answer:
            assert answer.status == 200 and answer.read().startswith(b"first")
        answer = server.get("/x", "Host: example.test")
        assert (answer.status, answer.headers["location"]) == (308, "https://example.test/x")
    with Server("no_such:app", "--tls", "chain.pem,absent.pem", cwd=site, ready=False) as server:
        server.wait_for("absent.pem")


def test_a_certificate_for_development_is_of_one_process(site):
    with Server("site_app:app", "--tls", "dev", "--processes", "2", cwd=site, ready=False) as server:
        server.wait_for("by 1 process, with ")


def test_the_id_of_a_request_is_in_the_log(raw):
    answer = raw.get("/chained")
    number = answer.headers["x-request-id"]
    raw.wait_for(f'id="{number}"')
    raw.wait_for("KeyError: 'the cause'")
    raw.wait_for("direct cause of the following exception")


def test_one_process_without_a_supervisor(site):
    with Server("site_app:app", "--processes", "0", "--threads", "1", cwd=site) as server:
        assert "by this process, with 1 thread\n" in server.log()
        assert server.get("/").text.split()[1] == str(server.process.pid)
        assert server.stop() == 0


def test_many_requests_leave_nothing(site):
    """A thousand of them may keep a KiB. `REQUESTS=10000` takes longer, and says the same."""
    (site / "memory.py").write_text(
        "import gc, json, tracemalloc\n"
        "tracemalloc.start()\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    if environ['PATH_INFO'] != '/count': return [environ['wsgi.input'].read() or b'x']\n"
        "    gc.collect()\n"
        "    return [json.dumps([len(gc.get_objects()), tracemalloc.get_traced_memory()[0]]).encode()]\n"
    )
    import json

    with Server("memory:app", "--processes", "1", "--threads", "2", cwd=site) as server, server.connect() as client:
        for _ in range(300):
            client.ask("/", "X-A: 1", method="POST", body=b"abc")
        before = json.loads(client.ask("/count").body)
        count = int(os.environ.get("REQUESTS", "2000"))
        for _ in range(count):
            client.ask("/", "X-A: 1", method="POST", body=b"abc")
        after = json.loads(client.ask("/count").body)
        objects, size = after[0] - before[0], after[1] - before[1]
        print(f"{count} requests: {objects} objects and {size} bytes more")
        assert objects < 50 and size < count * 1024 / 1000 + 4096
