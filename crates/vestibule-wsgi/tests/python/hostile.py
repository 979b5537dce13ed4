"""Thirty apps that no host deserves."""

import ctypes
import itertools
import os
import signal
import subprocess
import sys
import threading
import time

PLAIN = [("Content-Type", "text/plain")]
APPS = {}
LOCK = threading.Lock()
CLOSED = []


def hostile(function):
    APPS[function.__name__] = function
    return function


def fine(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"fine"]


def raising(error):
    def app(environ, start_response):
        raise error

    return app


for name, error in {
    "exception": ValueError("boom"),
    "sys_exit": SystemExit(7),
    "keyboard_interrupt": KeyboardInterrupt(),
    "generator_exit": GeneratorExit(),
    "base_exception": BaseException("base"),
    "memory_error": MemoryError(),
}.items():
    APPS[name] = raising(error)


@hostile
def recursion(environ, start_response):
    return recursion(environ, start_response)


@hostile
def never_starts(environ, start_response):
    return [b"x"]


@hostile
def starts_twice(environ, start_response):
    start_response("200 OK", PLAIN)
    start_response("200 OK", PLAIN)


@hostile
def starts_after_yield(environ, start_response):
    yield b"x"
    start_response("200 OK", PLAIN)


@hostile
def exc_info_too_late(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"begun"
    try:
        raise ValueError("late")
    except ValueError:
        start_response("500 X", PLAIN, sys.exc_info())


@hostile
def str_blocks(environ, start_response):
    start_response("200 OK", PLAIN)
    return ["text"]


@hostile
def none_result(environ, start_response):
    start_response("200 OK", PLAIN)


@hostile
def int_blocks(environ, start_response):
    start_response("200 OK", PLAIN)
    return [1, 2]


def starting(status, headers):
    def app(environ, start_response):
        start_response(status, headers)
        return [b"x"]

    return app


APPS["wide_header"] = starting("200 OK", [("a", "€")])
APPS["header_injection"] = starting("200 OK", [("a", "b\r\nSet-Cookie: evil=1")])
APPS["bad_status"] = starting("OK", PLAIN)
APPS["hop_by_hop"] = starting("200 OK", [("Transfer-Encoding", "chunked")])


@hostile
def over_delivers(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "3")])
    return iter([b"abc", b"HTTP/1.1 200 OK\r\n\r\n"])


@hostile
def under_delivers(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "9")])
    return iter([b"abc"])


@hostile
def close_raises(environ, start_response):
    start_response("200 OK", PLAIN)

    class Result(list):
        def close(self):
            raise SystemExit("in close")

    return Result([b"fine"])


@hostile
def generator_raises(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"begun"
    raise SystemExit(1)


@hostile
def infinite(environ, start_response):
    start_response("200 OK", PLAIN)
    try:
        while True:
            yield b"x" * 10_000
    finally:
        CLOSED.append("infinite")


def closed(environ, start_response):
    start_response("200 OK", PLAIN)
    return [str(CLOSED).encode()]


APPS["closed"] = closed


@hostile
def os_exit(environ, start_response):
    os._exit(1)


@hostile
def abort(environ, start_response):
    os.abort()


@hostile
def segfault(environ, start_response):
    ctypes.string_at(0)


@hostile
def kills_itself(environ, start_response):
    os.kill(os.getpid(), signal.SIGKILL)


@hostile
def deadlock(environ, start_response):
    LOCK.acquire()
    LOCK.acquire()


@hostile
def loops(environ, start_response):
    while True:
        pass


@hostile
def hogs_in_c(environ, start_response):
    """Holds the interpreter inside of one call into C, for two seconds."""
    ctypes.PyDLL(None).usleep(2_000_000)
    return fine(environ, start_response)


@hostile
def forks(environ, start_response):
    if os.fork() == 0:
        start_response("200 OK", PLAIN)
        return [b"the child"]
    return fine(environ, start_response)


@hostile
def thread_outlives(environ, start_response):
    threading.Thread(target=time.sleep, args=(3600,)).start()
    return fine(environ, start_response)


@hostile
def takes_signals(environ, start_response):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@hostile
def subprocess_(environ, start_response):
    start_response("200 OK", PLAIN)
    return [subprocess.run(["cat"], capture_output=True).stdout or b"fine"]


def app(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    return APPS.get(name, fine)(environ, start_response)
