"""Django's own tests with this server as their live server, or with theirs.

    cd django-*/tests && python django_suite.py vestibule|django servers wsgi

Django's live server has to share the test's database connection, so it is in the same process.
"""

import sys
import threading

import django.test.testcases
from django.db import connections

import vestibule_wsgi


class LiveServer:
    """What `LiveServerThread` wants of a `WSGIServer`."""

    def __init__(self, address, handler, allow_reuse_address=False, connections_override=None):
        self.app, self.override = None, connections_override or {}
        self.ended = threading.Event()
        self.server = vestibule_wsgi.Server(self.call, f"{address[0]}:{address[1]}")
        self.server_address = (address[0], self.server.port)

    def call(self, environ, start_response):
        for alias, connection in self.override.items():
            connections[alias] = connection
        return self.app(environ, start_response)

    def set_app(self, app):
        self.app = app

    def serve_forever(self):
        self.ended.wait()

    def shutdown(self):
        self.ended.set()

    def server_close(self):
        self.server.close()


if __name__ == "__main__":
    which = sys.argv.pop(1)
    if which == "vestibule":
        django.test.testcases.LiveServerThread.server_class = LiveServer
    sys.path.insert(0, ".")
    sys.argv[0] = "runtests.py"
    with open("runtests.py") as file:
        code = compile(file.read(), "runtests.py", "exec")
    exec(code, {"__name__": "__main__", "__file__": "runtests.py"})
