"""Apps for `test_calls.py`: what one call of the app sees and says."""

import io
import json
import logging
import os
import sys
import tempfile
import threading
import time

PLAIN = [("Content-Type", "text/plain")]
SEEN = {}


def say(start_response, value, *headers):
    start_response("200 OK", [*PLAIN, *headers])
    return [json.dumps(value).encode()]


def request_id(environ, start_response):
    own = environ["QUERY_STRING"]
    headers = [("X-Request-ID", own)] if own else []
    return say(start_response, environ["HTTP_X_REQUEST_ID"], *headers)


def errors(environ, start_response):
    handler = logging.StreamHandler(environ["wsgi.errors"])
    handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
    log = logging.Logger("site", logging.INFO)
    log.addHandler(handler)
    log.info("user 5 logged in")
    environ["wsgi.errors"].write("without an end")
    environ["wsgi.errors"].flush()
    environ["wsgi.errors"].write("two\nlines\n")
    return say(start_response, "written")


def raises(environ, start_response):
    raise ValueError("a crash")


def reads_later(environ, start_response):
    """Two threads read on after the call: one is in the middle of a read, one begins to."""
    source = environ["wsgi.input"]
    reading, over = threading.Event(), threading.Event()

    def note(name, begins):
        begins()
        got = 0
        try:
            while piece := source.read(4):
                got += len(piece)
                reading.set()
            SEEN[name] = ["the end", got]
        except Exception as error:
            SEEN[name] = [type(error).__name__, str(error)]

    def after():
        over.wait(20)
        time.sleep(0.2)

    name = environ["QUERY_STRING"]
    if name == "during":
        threading.Thread(target=note, args=(name, lambda: None)).start()
        reading.wait(20)
    else:
        threading.Thread(target=note, args=(name, after)).start()
    SEEN["source"] = source

    def body():
        yield b"accepted"
        over.set()

    start_response("202 Accepted", PLAIN)
    return body()


def methods_later(environ, start_response):
    """Each way to read, after the call that gave the body."""
    source = SEEN["source"]
    ways = {"read": lambda: source.read(), "read(0)": lambda: source.read(0), "readline": source.readline, "readlines": source.readlines, "next": lambda: next(source)}
    got = {}
    for name, way in ways.items():
        try:
            got[name] = repr(way())
        except Exception as error:
            got[name] = type(error).__name__
    return say(start_response, got)


def seen(environ, start_response):
    return say(start_response, SEEN.get(environ["QUERY_STRING"]))


def body(environ, start_response):
    """The length that is said, and what is read by it, as Django and Bottle do."""
    length = environ.get("CONTENT_LENGTH")
    data = environ["wsgi.input"].read(int(length or 0))
    return say(start_response, [length, len(data), data[:3].decode("latin-1"), data == b"x" * len(data)])


def lets_through(environ, start_response):
    environ["wsgi.input"].read()
    return say(start_response, "whole")


class Counting:
    """A file that counts what is read of it, and that is not one of Python's own."""

    def __init__(self, size):
        self.file, self.bytes = tempfile.TemporaryFile(), 0
        self.file.truncate(size)

    def read(self, size=-1):
        data = self.file.read(size)
        self.bytes += len(data)
        return data

    def seek(self, *where):
        return self.file.seek(*where)

    def tell(self):
        return self.file.tell()

    def seekable(self):
        return True

    def close(self):
        SEEN["read"] = self.bytes
        self.file.close()


def ranged(environ, start_response):
    """Flask's `send_file` of a large file."""
    from flask import Flask, send_file

    site = Flask("site")

    @site.get("/ranged")
    def file():
        size = 64 << 20
        response = send_file(Counting(size), mimetype="text/plain")
        response.content_length = size
        return response.make_conditional(environ, accept_ranges=True, complete_length=size)

    return site(environ, start_response)


def wrapped(environ, start_response):
    """Which methods a wrapped file has: those of the file."""

    class Bare:
        def read(self, size):
            return b""

    wrapper = environ["wsgi.file_wrapper"]
    names = ["close", "fileno", "readable", "seek", "seekable", "tell", "write", "name"]
    opened = tempfile.TemporaryFile()
    shown = [[name for name in names if hasattr(wrapper(file), name)] for file in (Bare(), io.BytesIO(), opened)]
    moved = wrapper(opened)
    opened.write(b"0123456789")
    moved.seek(4)
    return say(start_response, [*shown, moved.tell(), moved.seekable(), next(moved).decode()])


def city(environ, start_response):
    return say(start_response, [environ["CITY"], environ.get("RAW")])


def app(environ, start_response):
    return globals()[environ["PATH_INFO"].lstrip("/")](environ, start_response)
