"""Apps that ask one thing of their host each. `@probe` is lawful, `@breach` breaks a rule."""

import functools
import io
import json
import os
import re
import sys
import tempfile
import threading
import time
import weakref
from wsgiref.util import request_uri
from wsgiref.validate import validator

PLAIN = [("Content-Type", "text/plain")]
PROBES = {}
BREACHES = {}

#: What `close()` and `finally` leave for a later request to see, and gates that a request opens for another.
SEEN = {}
GATES = {}
LOCK = threading.Lock()


def probe(function):
    PROBES["/" + function.__name__] = function
    return function


def breach(function):
    BREACHES["/" + function.__name__] = function
    return function


def say(start_response, value, status="200 OK", headers=()):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    start_response(status, [*PLAIN, *headers])
    return [body]


def count(name):
    with LOCK:
        SEEN[name] = SEEN.get(name, 0) + 1


def gate(name):
    with LOCK:
        return GATES.setdefault(name, threading.Event())


def query(environ):
    return environ.get("QUERY_STRING", "")


class Closing:
    """An iterable that counts its `close()`, and gives nothing away but what PEP 3333 names."""

    def __init__(self, name, items):
        self.name, self.items = name, iter(items)

    def __iter__(self):
        return self

    def __next__(self):
        assert not SEEN.get(self.name), "iterated after close"
        return next(self.items)

    def __getattr__(self, name):
        raise RuntimeError(f"the server has asked for {name}")

    def close(self):
        count(self.name)


# The environ


@probe
def environ(environ, start_response):
    shown = {key: value if isinstance(value, (str, bool, int, float)) else repr(type(value)) for key, value in environ.items()}
    shown["type(environ)"] = type(environ).__name__
    shown["types"] = sorted({type(value).__name__ for key, value in environ.items() if "." not in key})
    shown["version"] = list(environ["wsgi.version"])
    shown["version type"] = type(environ["wsgi.version"]).__name__
    shown["url"] = request_uri(environ)
    shown["leak"] = environ.get("leak")
    environ["leak"] = "from another request"
    return say(start_response, shown)


@breach
def arguments(*args, **kwargs):
    environ, start_response = args
    return say(start_response, [len(args), len(kwargs)])


class AsClass:
    def __init__(self, environ, start_response):
        start_response("200 OK", PLAIN)

    def __iter__(self):
        yield b"a class"


class AsInstance:
    def __call__(self, environ, start_response):
        return say(start_response, b"an instance")

    def method(self, environ, start_response):
        return say(start_response, b"a method")


def with_more(more, environ, start_response):
    return say(start_response, more)


partial = functools.partial(with_more, b"a partial")
instance = AsInstance()


def create_app(name="factory", debug=False):
    return functools.partial(with_more, f"{name} {debug}".encode())


@probe
def counter(environ, start_response):
    count("calls")
    return say(start_response, SEEN["calls"])


@probe
def together(environ, start_response):
    """How many were here at the same time, at most; waits for a second one for a moment."""
    with LOCK:
        SEEN["inside"] = SEEN.get("inside", 0) + 1
        SEEN["most"] = max(SEEN.get("most", 0), SEEN["inside"])
    gate("two").wait(0.05) if SEEN["inside"] < 2 else gate("two").set()
    with LOCK:
        SEEN["inside"] -= 1
    return say(start_response, [SEEN["most"], os.getpid()])


@probe
def thread(environ, start_response):
    here = threading.current_thread()
    return say(start_response, [here.name, here is threading.main_thread(), type(here).__name__])


# Input and errors


@probe
def echo(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    pieces = []
    while piece := environ["wsgi.input"].read(65536):
        pieces.append(piece)
    return [b"".join(pieces)]


@breach
def read(environ, start_response):
    """Reads as the query says, `read(5),readline()`, and shows what came."""
    source = environ["wsgi.input"]
    calls = re.findall(r"(\w+)\(([^)]*)\)", query(environ))
    got = []
    for name, argument in calls:
        arguments = [None if argument == "None" else int(argument)] if argument else []
        value = list(source) if name == "iter" else getattr(source, name)(*arguments)
        got.append([it.decode("latin-1") for it in value] if isinstance(value, list) else value.decode("latin-1"))
        assert isinstance(value, (bytes, list))
    return say(start_response, got)


@breach
def methods(environ, start_response):
    names = {"wsgi.input": ["read", "readline", "readlines", "__iter__"], "wsgi.errors": ["write", "writelines", "flush"]}
    return say(start_response, [hasattr(environ[key], name) for key, all in names.items() for name in all])


@breach
def broken(environ, start_response):
    """What a body that breaks off raises; the answer is for a later request, since this client is gone."""
    try:
        while environ["wsgi.input"].read(10):
            pass
        SEEN["broken"] = "a clean end"
    except Exception as error:
        SEEN["broken"] = [isinstance(error, OSError), type(error).__name__, str(error)]
    return say(start_response, SEEN["broken"])


@probe
def errors(environ, start_response):
    log = environ["wsgi.errors"]
    log.write("plain ✓ text\n")
    log.write("a lone \udc80 surrogate\n")
    log.writelines(["first line\n", "second "])
    log.write("line without an end")
    log.flush()
    return say(start_response, b"written")


@breach
def unread(environ, start_response):
    return say(start_response, b"not read")


# start_response


@breach
def start(environ, start_response):
    """Calls start_response with what the query names, and says what it raised."""
    what = {
        "bytes status": (b"200 OK", PLAIN),
        "bare": ("200", PLAIN),
        "long": ("2000 X", PLAIN),
        "informational": ("100 Continue", PLAIN),
        "control": ("200 A\r\nB: c", PLAIN),
        "wide status": ("200 €", PLAIN),
        "tuple of headers": ("200 OK", tuple(PLAIN)),
        "lists": ("200 OK", [["a", "b"]]),
        "dict": ("200 OK", {"a": "b"}),
        "generator": ("200 OK", (pair for pair in PLAIN)),
        "bytes value": ("200 OK", [("a", b"b")]),
        "three": ("200 OK", [("a", "b", "c")]),
        "CR": ("200 OK", [("a", "b\rc: d")]),
        "LF": ("200 OK", [("a", "b\nc: d")]),
        "NUL": ("200 OK", [("a", "b\0")]),
        "TAB name": ("200 OK", [("a\tb", "c")]),
        "empty name": ("200 OK", [("", "c")]),
        "colon name": ("200 OK", [("a:b", "c")]),
        "Status": ("200 OK", [("Status", "200 OK")]),
        "wide": ("200 OK", [("a", "€")]),
        "length": ("200 OK", [("Content-Length", "-1")]),
        "lengths": ("200 OK", [("Content-Length", "1"), ("Content-Length", "2")]),
        "exc_info": ("200 OK", PLAIN, "error"),
        "four": ("200 OK", PLAIN, None, 1),
        "hop": ("200 OK", [(environ.get("HTTP_X_NAME", ""), "x")]),
    }[query(environ).replace("%20", " ")]
    try:
        start_response(*what)
    except Exception as error:
        return say(replacing(start_response), [type(error).__name__, str(error)])
    return say(start_response, ["accepted"])


def replacing(start_response):
    """start_response for an error page."""

    def start(status, headers):
        try:
            raise LookupError("an error page")
        except LookupError:
            return start_response(status, headers, sys.exc_info())

    return start


@breach
def keywords(environ, start_response):
    try:
        start_response(status="200 OK", headers=PLAIN)
    except TypeError:
        return say(start_response, b"TypeError")


@probe
def late(environ, start_response):
    """Says 200, waits, and changes its mind before the first byte."""
    start_response("200 OK", [*PLAIN, ("X-Old", "1")])
    gate("late").wait(0.2)
    yield b""
    try:
        raise ValueError("changed its mind")
    except ValueError:
        start_response("503 Changed", [*PLAIN, ("X-New", "1")], sys.exc_info())
    yield b"changed"


@breach
def too_late(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"begun"
    try:
        try:
            raise KeyError("too late")
        except KeyError:
            start_response("500 No", PLAIN, sys.exc_info())
    except BaseException as error:
        SEEN["too_late"] = [type(error).__name__, str(error), error.__traceback__ is not None]
        raise


@breach
def twice(environ, start_response):
    start_response("200 OK", PLAIN)
    start_response("200 OK", PLAIN)
    return [b"never"]


@breach
def twice_after_error(environ, start_response):
    try:
        start_response("bad", PLAIN)
    except ValueError:
        pass
    start_response("200 OK", PLAIN)
    return [b"never"]


class Local:
    pass


@breach
def reference(environ, start_response):
    """Whether exc_info is kept."""

    def fail():
        local = Local()
        SEEN["local"] = weakref.ref(local)
        raise ValueError

    try:
        fail()
    except ValueError:
        start_response("200 OK", PLAIN, sys.exc_info())
    import gc

    gc.collect()
    return [json.dumps(SEEN["local"]() is None).encode()]


@probe
def no_content(environ, start_response):
    start_response("204 No Content", [])
    return [b""]


@breach
def not_modified(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"a"'), ("Content-Type", "text/plain")])
    return [b"a body that must not be sent"]


@probe
def date(environ, start_response):
    return say(start_response, b"dated", headers=[("date", "Thu, 01 Jan 1970 00:00:00 GMT")])


SAME = [("Content-Type", "text/plain"), ("X-One", "1")]


@probe
def same_list(environ, start_response):
    start_response("200 OK", SAME)
    return [json.dumps(len(SAME)).encode()]


@probe
def headers(environ, start_response):
    return say(start_response, b"", headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Latin", "\xe9")])


@probe
def reason(environ, start_response):
    return say(start_response, b"", status="404 Nothing Here")


# write and the iterable


@probe
def write(environ, start_response):
    send = start_response("200 OK", PLAIN)
    send(b"one ")
    gate("write").wait(10)
    send(b"two ")
    return [b"three"]


@probe
def open_gate(environ, start_response):
    gate(query(environ)).set()
    return say(start_response, b"open")


@probe
def seen(environ, start_response):
    return say(start_response, SEEN.get(query(environ)))


@breach
def sleeps(environ, start_response):
    environ["wsgi.errors"].write("sleeping\n")
    time.sleep(1)
    return say(start_response, b"awake")


@probe
def forget(environ, start_response):
    SEEN.pop(query(environ), None)
    return say(start_response, None)


@breach
def write_text(environ, start_response):
    send = start_response("200 OK", PLAIN)
    send("text")
    return []


@breach
def bad_result(environ, start_response):
    start_response("200 OK", PLAIN)
    return {"None": None, "False": False, "str": "text", "bytes": b"bytes", "int": 3, "ints": [1], "strs": ["a"], "Nones": [None]}[query(environ)]


@breach
def str_in_the_middle(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"bytes"
    yield "str"


@probe
def lazy(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"lazy"


@breach
def never(environ, start_response):
    return [b"no start_response"]


@breach
def never_and_nothing(environ, start_response):
    return []


@breach
def closing(environ, start_response):
    """One way for each way to end: its name is the query."""
    name = query(environ)
    status = "304 Not Modified" if name == "304" else "200 OK"
    start_response(status, PLAIN)

    def items():
        yield b"first"
        if name == "error":
            raise ValueError("in the middle")
        if name == "gone":
            gate("gone is begun").set()
            while True:
                yield b"x" * 65536
        yield b"second"

    return Closing(name, items())


@breach
def finally_(environ, start_response):
    start_response("200 OK", PLAIN)
    try:
        while True:
            yield b"x" * 65536
    finally:
        count("finally")


@breach
def close_raises(environ, start_response):
    start_response("200 OK", PLAIN)

    class Raises(list):
        def close(self):
            raise ValueError("in close")

    return Raises([b"served"])


@probe
def events(environ, start_response):
    """Three events, each after the client has asked for it."""
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    for number in range(3):
        yield b"data: %d\n\n" % number
        assert gate(f"event_{number}").wait(10)


@probe
def all_bytes(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [bytes(range(256)), b"\r\n", b"\n"]


@probe
def stops(environ, start_response):
    """Counts how many blocks were asked for."""
    start_response("200 OK", [*PLAIN, ("Content-Length", "4")])
    for number in range(100):
        SEEN["blocks"] = number + 1
        yield b"ab"


# Lengths


@breach
def over(environ, start_response):
    send = start_response("200 OK", [*PLAIN, ("Content-Length", "4")])
    if query(environ) == "write":
        send(b"abcdef")
        return []
    return [b"abcdef"] if query(environ) == "one" else iter([b"abc", b"def", b"ghi"])


@breach
def under(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "10")])
    return [b"abc"] if query(environ) == "one" else iter([b"abc", b"def"])


@probe
def one(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"abc"]


@probe
def many(environ, start_response):
    start_response("200 OK", PLAIN)
    return iter([b"abc", b"def"])


@breach
def transfer_encoding(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Transfer-Encoding", "chunked")])
    return [b"3\r\nabc\r\n0\r\n\r\n"]


@probe
def with_length(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "6")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"abcdef"]


# Middleware of Python's


def upper(app):
    """As PEP 3333 wants a middleware: one block out for one block in, `close` passed on."""

    def middleware(environ, start_response):
        def start(status, headers, exc_info=None):
            headers = [pair for pair in headers if pair[0].lower() != "content-length"]
            write = start_response(status, [*headers, ("X-Upper", "1")], exc_info)
            return lambda data: write(data.upper())

        environ = dict(environ, **{"upper.seen": "yes"})
        return Upper(app(environ, start))

    return middleware


class Upper:
    def __init__(self, result):
        self.result, self.blocks = result, iter(result)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.blocks).upper()

    def close(self):
        if hasattr(self.result, "close"):
            self.result.close()


def inner(environ, start_response):
    def blocks():
        write = start_response("200 OK", [*PLAIN, ("Content-Length", "999")] if "length" in query(environ) else PLAIN)
        if "write" in query(environ):
            write(b"written ")
        yield b"one "
        yield b""
        yield b"two"

    return Closing("inner", blocks()) if "closing" in query(environ) else blocks()


@probe
def middleware(environ, start_response):
    return upper(inner)(environ, start_response)


@breach
def middleware_checked(environ, start_response):
    return validator(upper(validator(inner)))(environ, start_response)


@breach
def swallows(environ, start_response):
    """A middleware that shows a page of its own in place of an error."""

    def start(status, headers, exc_info=None):
        if exc_info:
            raise StopIteration
        return start_response(status, headers)

    def app(environ, start_response):
        try:
            raise ValueError
        except ValueError:
            start_response("500 Error", PLAIN, sys.exc_info())

    try:
        return app(environ, start)
    except StopIteration:
        return say(start_response, b"a page of the middleware's", status="502 Swallowed")


# Errors


@breach
def raises(environ, start_response):
    name = query(environ)
    if name == "recursion":
        return raises(environ, start_response)
    raise {
        "exit": SystemExit(3),
        "interrupt": KeyboardInterrupt(),
        "generator": GeneratorExit(),
        "base": BaseException("base"),
        "memory": MemoryError(),
        "stop": StopIteration(),
        "value": ValueError("a <value> & more"),
    }[name]


@breach
def raises_in_the_middle(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"begun "
    raise SystemExit if query(environ) == "exit" else ValueError("in the middle")


@breach
def chained(environ, start_response):
    try:
        raise KeyError("the cause")
    except KeyError as error:
        raise ValueError("the effect") from error


# Files


CONTENT = b"0123456789" * 1000


def a_file():
    file = tempfile.TemporaryFile()
    file.write(CONTENT)
    file.seek(0)
    return file


class Tracked(io.BytesIO):
    def close(self):
        count("tracked")
        super().close()


@breach
def file(environ, start_response):
    wrapper = environ["wsgi.file_wrapper"]
    how = query(environ)
    headers = [*PLAIN, ("Content-Length", "20")] if how == "short" else PLAIN
    start_response("200 OK", headers)
    if how == "bytes":
        return wrapper(Tracked(CONTENT), 512)
    if how == "dropped":
        wrapper(a_file())
        return [b"not the file"]
    if how == "gzip":
        import gzip

        packed = tempfile.TemporaryFile()
        packed.write(gzip.compress(CONTENT))
        packed.seek(0)
        return wrapper(gzip.GzipFile(fileobj=packed))
    opened = a_file()
    SEEN["opened"] = opened
    if how == "seek":
        opened.seek(10)
    if how == "reads":
        opened.read(3)
    return wrapper(opened)


@breach
def file_close(environ, start_response):
    wrapper = environ["wsgi.file_wrapper"]

    class Bare:
        def read(self, size):
            return b""

    return say(start_response, [hasattr(wrapper(Bare()), "close"), hasattr(wrapper(io.BytesIO()), "close")])


@breach
def file_closed(environ, start_response):
    return say(start_response, SEEN["opened"].closed)


def root(environ, start_response):
    for path, app in {**PROBES, **BREACHES}.items():
        if environ["PATH_INFO"] == path or environ["PATH_INFO"].startswith(path + "/"):
            return app(environ, start_response)
    return environ_probe(environ, start_response)


environ_probe = environ


def app(environ, start_response):
    return root(environ, start_response)


def lawful(environ, start_response):
    app = PROBES.get(environ["PATH_INFO"], environ_probe)
    return app(environ, start_response)


checked = validator(lawful)
