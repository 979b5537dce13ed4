"""`vestibule_wsgi.Server`: a live server inside of a test."""

import threading
import urllib.error
import urllib.request

import pytest

import vestibule_wsgi


def test_a_live_server():
    here = {"threads": set()}

    def app(environ, start_response):
        here["threads"].add(threading.current_thread().name)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["PATH_INFO"].encode()]

    with vestibule_wsgi.Server(app, threads=2) as server:
        assert server.address == f"127.0.0.1:{server.port}"
        for _ in range(4):
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/x") as answer:
                assert answer.read() == b"/x"
    assert here["threads"] <= {"wsgi-0", "wsgi-1"}
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}/x")
    server.close()


def test_a_place_that_is_taken():
    with vestibule_wsgi.Server(lambda environ, start_response: []) as server:
        with pytest.raises(OSError, match="another process listens there"):
            vestibule_wsgi.Server(lambda environ, start_response: [], f"127.0.0.1:{server.port}")
