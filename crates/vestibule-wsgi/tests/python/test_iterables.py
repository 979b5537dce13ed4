"""The end of what the app returns: it is iterated to its end, and closed."""

import json
import socket
import struct
import time

import pytest

from conftest import PATIENCE, Server

#: Whether the iterable is run to its end; otherwise the block beyond the length ends it. Each is closed once.
ENDS = {
    "exact": True,
    "in-parts": True,
    "nothing-of-nothing": True,
    "blocks-of-nothing": True,
    "chunked": True,
    "204": True,
    "304": True,
    "304-with-a-length": True,
    "of-one": True,
    "of-one-and-nothing": True,
    "beyond": False,
    "across": False,
    "beyond-nothing": False,
    "raises-later": False,
}


@pytest.fixture(scope="module")
def server():
    with Server("iterables:app", "--processes", "1", "--threads", "4", "--timeout", "2s", "--no-compression") as server:
        yield server


def seen(server, name, last="closed"):
    """What an iterable has noted, once it has noted `last`."""
    end = time.monotonic() + PATIENCE
    while True:
        notes = json.loads(server.get("/seen").text).get(name, [])
        if last in notes:
            return notes
        assert time.monotonic() < end, name
        time.sleep(0.02)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", ENDS)
def test_it_is_run_to_its_end_and_closed(server, name, method):
    before = json.loads(server.get("/seen").text).get(name, [])
    with server.connect() as client:
        answer = client.ask(f"/case/{name}", method=method)
        assert answer.is_whole
        if method == "GET" and answer.status == 200:
            assert answer.text == ("" if "nothing" in name and "one" not in name else "abc")
        # The connection goes on: nothing of the body is left on it.
        assert client.ask("/seen").status == 200
    expected = [*before, "end", "closed"] if ENDS[name] else [*before, "closed"]
    end = time.monotonic() + PATIENCE
    while json.loads(server.get("/seen").text).get(name, []) != expected:
        assert time.monotonic() < end, (json.loads(server.get("/seen").text).get(name), expected)


def test_an_error_after_the_last_byte_is_logged(server):
    assert server.get("/case/raises-later").text == "abc"
    server.wait_for("ValueError: after the last byte")


def test_after_the_last_byte_by_write(server):
    assert server.get("/written").text == "abc"
    assert seen(server, "written") == ["end", "closed"]


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("kind", ["chunked", "length", "no-bytes", "write"])
def test_a_client_that_leaves_ends_blocks_of_nothing(server, kind, how):
    name = f"{kind}-{how}"
    with server.connect() as client:
        client.request(f"/{kind}/{name}")
        if kind != "no-bytes":
            while b"first" not in client.data:
                assert client.more()
        seen(server, name, "step")
        if how == "RST":
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert seen(server, name) == ["step", "closed"]


def test_a_client_that_leaves_after_the_whole_response_ends_nothing(server):
    with server.connect() as client:
        assert client.ask("/complete/left", "Connection: close").text == "first"
    # Only the timeout does.
    server.wait_for("went on for more than 2s after its response was complete")
    assert seen(server, "left") == ["step", "closed"]


def test_head_of_what_never_ends(server):
    with server.connect() as client:
        assert client.ask("/complete/head", method="HEAD").headers["content-length"] == "5"
    assert seen(server, "head") == ["step", "closed"]


BACKGROUND = """
import asyncio
from a2wsgi import ASGIMiddleware
from fastapi import BackgroundTasks, FastAPI

api, DONE = FastAPI(), []

async def later(number):
    await asyncio.sleep(0.02)
    DONE.append(number)

@api.get("/task/{number}")
async def task(number: int, tasks: BackgroundTasks):
    tasks.add_task(later, number)
    return {"number": number}

@api.get("/done")
async def done():
    return sorted(DONE)

app = ASGIMiddleware(api)
"""


def test_background_tasks_of_fastapi(tmp_path):
    (tmp_path / "background.py").write_text(BACKGROUND)
    with Server("background:app", "--processes", "1", cwd=tmp_path) as server:
        for number in range(20):
            assert json.loads(server.get(f"/task/{number}").text) == {"number": number}
        end = time.monotonic() + PATIENCE
        while json.loads(server.get("/done").text) != list(range(20)):
            assert time.monotonic() < end, server.get("/done").text
        assert "Task was destroyed" not in server.log() and "Traceback" not in server.log()
