"""What one call of the app sees, and what it says."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from conftest import HERE, PATIENCE, Server, at_once


@pytest.fixture(scope="module")
def server():
    with Server("calls:app", "--processes", "1", "--threads", "4", "--no-compression") as server:
        yield server


def value(answer):
    assert answer.status in (200, 202), answer
    return json.loads(answer.body)


def until(server, path, what=lambda it: it is not None):
    end = time.monotonic() + PATIENCE
    while not what(got := value(server.get(path))):
        assert time.monotonic() < end
        time.sleep(0.02)
    return got


# x-request-id


def test_the_apps_own_request_id_is_kept(server):
    answer = server.get("/request_id?from-the-app")
    ids = [value for name, value in answer.lines if name.lower() == "x-request-id"]
    assert ids == ["from-the-app"]
    given = value(answer)
    assert len(given) == 36, "the app sees the server's"


def test_the_request_id_is_the_servers_otherwise(server):
    answer = server.get("/request_id", "X-Request-ID: from-the-client")
    assert answer.headers["x-request-id"] == value(answer) != "from-the-client"


@pytest.mark.parametrize("own, expected", [("?from-the-app", "from-the-app"), ("", "from-the-proxy")])
def test_the_request_id_behind_a_proxy(own, expected):
    with Server("calls:app", "--processes", "1", "--trust-proxy", "127.0.0.1") as server:
        answer = server.get("/request_id" + own, "X-Request-ID: from-the-proxy")
        assert answer.headers["x-request-id"] == expected and value(answer) == "from-the-proxy"


# wsgi.errors


def test_what_the_app_logs_has_no_level_of_ours():
    with Server("calls:app", "--processes", "1") as server:
        server.get("/errors")
        server.wait_for("two\nlines\n")
        lines = server.log().splitlines()
        assert "[INFO] user 5 logged in" in lines and "without an end" in lines
        assert "ERROR" not in server.log()
        server.get("/raises")
        server.wait_for("ERROR vestibule::wsgi: Traceback")


def test_what_the_app_logs_is_an_event_where_events_are_json():
    with Server("calls:app", "--processes", "1", "--events", "json", ready=False) as server:
        server.wait_for("listening")
        server.port = int(re.search(r"127\.0\.0\.1:(\d+)", server.log()).group(1))
        server.get("/errors")
        server.get("/raises")
        server.wait_for("a crash")
        events = [json.loads(line) for line in server.log().splitlines()]
        said = [it for it in events if it["target"] == "vestibule::wsgi::errors"]
        assert [it["fields"]["message"] for it in said] == ["[INFO] user 5 logged in", "without an end", "two\nlines"]
        assert {it["level"] for it in said} == {"INFO"} and all("id" in it["fields"] for it in said)
        assert {it["level"] for it in events if "a crash" in it["fields"]["message"]} == {"ERROR"}


# wsgi.input


@pytest.mark.parametrize("when", ["during", "after"])
def test_reading_after_the_call_never_looks_like_the_end(server, when):
    with server.connect() as client:
        client.send(f"POST /reads_later?{when} HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\nabcd".encode())
        assert client.answer().status == 202
        kind, text = until(server, f"/seen?{when}")
        assert (kind, text) == ("ValueError", "wsgi.input is closed: the call of the app has ended")
    assert set(value(server.get("/methods_later")).values()) == {"ValueError"}


def test_reading_after_the_call_of_a_body_that_was_whole(server):
    with server.connect() as client:
        client.ask("/reads_later?after-whole", method="POST", body=b"abcd")
    assert until(server, "/seen?after-whole")[0] == "ValueError"


def chunked(size, piece=8192):
    pieces = [b"x" * min(piece, size - at) for at in range(0, size, piece)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


SIZES = [0, 1, 30_000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 2 << 20]


def test_chunked_bodies_are_buffered_and_have_a_length(tmp_path):
    env = {"TMPDIR": str(tmp_path)}
    with Server("calls:app", "--processes", "1", "--buffer-chunked", "2", env=env) as server:
        for size in SIZES:
            answer = server.get("/body", "Transfer-Encoding: chunked", method="POST", body=chunked(size))
            shown = [str(size), size, "x" * min(size, 3), True]
            assert value(answer) == (shown if size else [None, 0, "", True]) or value(answer) == shown
        answer = server.get("/body", "Transfer-Encoding: chunked", method="POST", body=chunked((2 << 20) + 1))
        assert answer.status == 413
        # A body with a length is as before.
        assert value(server.get("/body", method="POST", body=b"x" * 5)) == ["5", 5, "xxx", True]
        assert value(server.get("/body")) == [None, 0, "", True]
        with server.connect() as client:
            client.send(b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxxx\r\nzz\r\n")
            assert client.answer().status == 400
        assert list(tmp_path.iterdir()) == [], "the files have no names"


def test_without_the_option_a_chunked_body_has_no_length(server):
    assert value(server.get("/body", "Transfer-Encoding: chunked", method="POST", body=chunked(5))) == [None, 0, "", True]


CHUNKED_APPS = """
import json
from bottle import Bottle, request
from django.conf import settings
settings.configure(DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x")
import django
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

bottle = Bottle()

@bottle.post("/")
def of_bottle():
    return str(len(request.body.read()))

urlpatterns = [path("", lambda request: HttpResponse(str(len(request.body))))]
django_app = get_wsgi_application()
"""


@pytest.mark.parametrize("name", ["bottle", "django_app"])
def test_frameworks_read_a_buffered_body(tmp_path, name):
    (tmp_path / "chunked_apps.py").write_text(CHUNKED_APPS)
    with Server(f"chunked_apps:{name}", "--processes", "1", "--buffer-chunked", "10", cwd=tmp_path) as server:
        assert server.get("/", "Transfer-Encoding: chunked", method="POST", body=chunked(30_000)).text == "30000"


def test_an_upload_that_breaks_off_is_one_line():
    with Server("calls:app", "--processes", "1", "--body-timeout", "300ms") as server:
        for how in ("leaves", "stalls", "framing"):
            with server.connect() as client:
                if how == "framing":
                    client.send(b"POST /lets_through HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n")
                else:
                    client.send(b"POST /lets_through HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
                if how != "leaves":
                    assert client.answer().status in (400, 408)
            server.wait_for("the upload broke off", 1 + ("leaves", "stalls", "framing").index(how))
        lines = [line for line in server.log().splitlines() if "the upload broke off" in line]
        assert all("INFO vestibule::wsgi" in line for line in lines), lines
        assert "Traceback" not in server.log() and "ERROR" not in server.log()
        server.get("/raises")
        server.wait_for("ERROR vestibule::wsgi: Traceback")


@pytest.mark.parametrize("options, is_cut", [(["--min-body-rate", "0"], False), ([], True)])
def test_a_slow_upload_ends_by_its_rate_unless_that_is_off(options, is_cut):
    with Server("calls:app", "--processes", "1", "--body-timeout", "60s", *options) as server, server.connect() as client:
        client.send(b"POST /lets_through HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        client.socket.settimeout(14)
        try:
            cut = client.answer().status == 408
        except TimeoutError:
            cut = False
        assert cut == is_cut
        if not cut:
            client.socket.settimeout(PATIENCE)
            client.send(b"abcdef")
            assert client.answer().status == 200


# Files


def test_a_range_at_the_end_of_a_large_file_reads_only_that(server):
    answer = server.get("/ranged", "Range: bytes=67108860-67108863")
    assert answer.status == 206 and answer.body == b"\0" * 4
    assert until(server, "/seen?read") < 1 << 20


def test_a_wrapped_file_has_the_methods_of_the_file(server):
    bare, memory, opened, at, seekable, rest = value(server.get("/wrapped"))
    assert bare == []
    assert memory == ["close", "fileno", "readable", "seek", "seekable", "tell"]
    assert opened == ["close", "fileno", "readable", "seek", "seekable", "tell"]
    assert (at, seekable, rest) == (4, True, "456789")


# --environ


def test_values_of_variables_are_bytes_as_latin_1():
    with Server("calls:app", "--processes", "1", "--environ", "CITY=Łódź=1", "--environ", b"RAW=\xff\xfe") as server:
        city, raw = value(server.get("/city"))
        assert city.encode("latin-1").decode() == "Łódź=1" and raw == "\xff\xfe"


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "HTTPS", "HTTP_HOST", "wsgi.url_scheme", "REMOTE_USER", "a b", ""])
@pytest.mark.parametrize("processes", ["0", "2"])
def test_variables_without_effect_are_refused(name, processes):
    server = Server("calls:app", "--processes", processes, "--environ", f"{name}=/pre", ready=False)
    assert server.process.wait(PATIENCE) == 2
    assert "--environ" in server.log() and ("the server sets the variable" in server.log() or "is not a name" in server.log())


# Options


def test_a_dash_is_standard_output(tmp_path):
    with Server("calls:app", "--processes", "1", "--log", "-", cwd=tmp_path, env={"PYTHONPATH": str(HERE)}) as server:
        assert server.get("/seen?-").status == 200
        server.wait_for("GET /seen", where=server.access)
    assert not (tmp_path / "-").exists()


def test_preload_is_refused_with_what_there_is():
    server = Server("calls:app", "--preload", ready=False)
    assert server.process.wait(PATIENCE) == 2
    assert "there is no `--preload`" in server.log() and "--reload" not in server.log()


def test_the_help_names_both_limits_of_uploads():
    shown = subprocess.run([sys.executable, "-m", "vestibule_wsgi", "--help"], capture_output=True, text=True, check=True).stdout
    assert "--body-timeout" in shown and "--min-body-rate" in shown


# Threads


PATCHED = {
    "gevent": ("from gevent import monkey; monkey.patch_all()", False),
    "gevent-thread": ("from gevent import monkey; monkey.patch_thread()", False),
    "gevent-sockets": ("from gevent import monkey; monkey.patch_all(thread=False)", True),
    "not-patched": ("import gevent", True),
}


@pytest.mark.parametrize("name", PATCHED)
def test_an_app_that_replaces_threads_is_refused(tmp_path, name):
    patch, is_served = PATCHED[name]
    (tmp_path / "patched.py").write_text(patch + "\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'ok']\n")
    server = Server("patched:app", "--processes", "1", cwd=tmp_path, ready=is_served)
    with server:
        if is_served:
            assert server.get("/").text == "ok"
        else:
            assert server.process.wait(PATIENCE) == 3
            assert "replaces Python's threads" in server.log()
