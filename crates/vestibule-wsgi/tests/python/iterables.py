"""Iterables that go on after the last byte, or that give nothing for long."""

import json
import threading
import time

PLAIN = ("Content-Type", "text/plain")
SEEN = {}
LOCK = threading.Lock()


def note(name, what):
    with LOCK:
        SEEN.setdefault(name, []).append(what)


class Closing:
    """Notes `close()`. With `length` it has a length, as a list has."""

    def __init__(self, name, blocks):
        self.name, self.blocks = name, blocks

    def __iter__(self):
        return self.blocks

    def close(self):
        note(self.name, "closed")


class OfOne(Closing):
    def __len__(self):
        return 1


def blocks(name, items):
    for item in items:
        if isinstance(item, Exception):
            raise item
        yield item
    note(name, "end")


#: What each gives: the status, `Content-Length`, and the blocks.
CASES = {
    "exact": ("200 OK", 3, [b"abc"]),
    "in-parts": ("200 OK", 3, [b"a", b"", b"bc", b"", b"", b""]),
    "nothing-of-nothing": ("200 OK", 0, []),
    "blocks-of-nothing": ("200 OK", 0, [b"", b""]),
    "chunked": ("200 OK", None, [b"a", b"", b"bc", b""]),
    "204": ("204 No Content", None, [b"", b""]),
    "304": ("304 Not Modified", None, [b""]),
    "304-with-a-length": ("304 Not Modified", 3, [b"abc", b""]),
    "of-one": ("200 OK", 3, [b"abc"]),
    "of-one-and-nothing": ("200 OK", 3, [b"abc", b""]),
    "beyond": ("200 OK", 3, [b"abc", b"", b"x", b""]),
    "across": ("200 OK", 3, [b"ab", b"cd", b""]),
    "beyond-nothing": ("200 OK", 0, [b"x", b""]),
    "raises-later": ("200 OK", 3, [b"abc", ValueError("after the last byte")]),
}


def case(name, start_response):
    status, length, items = CASES[name]
    headers = [PLAIN] if length is None else [PLAIN, ("Content-Length", str(length))]
    start_response(status, headers)
    return (OfOne if name.startswith("of-one") else Closing)(name, blocks(name, items))


def for_ever(name, start_response, length, first):
    """Blocks of nothing without an end, after `first`."""

    def steps():
        if first:
            yield first
        while True:
            note(name, "step")
            yield b""
            time.sleep(0.02)

    start_response("200 OK", [PLAIN] if length is None else [PLAIN, ("Content-Length", length)])
    return Closing(name, steps())


def written_for_ever(name, start_response):
    """Blocks of nothing by `write`, which raises when the client is gone."""
    write = start_response("200 OK", [PLAIN])
    write(b"first")
    try:
        while True:
            note(name, "step")
            write(b"")
            time.sleep(0.02)
    except BrokenPipeError:
        note(name, "closed")
        raise


def written(name, start_response):
    write = start_response("200 OK", [PLAIN, ("Content-Length", "3")])
    write(b"abc")
    return Closing(name, blocks(name, [b""]))


def app(environ, start_response):
    kind, _, name = environ["PATH_INFO"].lstrip("/").partition("/")
    name = f"{name}{environ['QUERY_STRING']}"
    match kind:
        case "case":
            return case(name.removesuffix("HEAD"), start_response)
        case "written":
            return written("written", start_response)
        case "write":
            return written_for_ever(name, start_response)
        case "chunked":
            return for_ever(name, start_response, None, b"first")
        case "length":
            return for_ever(name, start_response, "100", b"first")
        case "complete":
            return for_ever(name, start_response, "5", b"first")
        case "no-bytes":
            return for_ever(name, start_response, None, b"")
    start_response("200 OK", [PLAIN])
    return [json.dumps({key: list(dict.fromkeys(value)) if "step" in value else value for key, value in SEEN.items()}).encode()]
