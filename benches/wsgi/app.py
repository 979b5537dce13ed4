"""What the hosts of Python apps are measured with."""

import ctypes
import os
import time

import flask

PLAIN = [("Content-Type", "text/plain"), ("Content-Length", "13")]
BLOCK = b"x" * 65536


def bare(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"Hello, world!"]


site = flask.Flask(__name__)


@site.get("/")
def hello():
    return "Hello, world!"


def stream(environ, start_response):
    """A megabyte in sixteen blocks."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    for _ in range(16):
        yield BLOCK


def upload(environ, start_response):
    """Reads everything, and says how much it was."""
    length, read = 0, environ["wsgi.input"].read
    while block := read(65536):
        length += len(block)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % length]


def faulty(environ, start_response):
    """Does what its path says, which no app should."""
    match environ["PATH_INFO"]:
        case "/loop":
            while True:
                pass
        case "/hold":
            # The C library, by a handle that does not let go of the interpreter.
            ctypes.PyDLL(None).sleep(30)
        case "/sleep":
            time.sleep(3600)
        case "/segfault":
            ctypes.string_at(0)
        case "/exit":
            os._exit(7)
    start_response("200 OK", PLAIN)
    return [b"Hello, world!"]
