"""Serves Python WSGI apps from Rust. The command is `vestibule-wsgi`, or `python -m vestibule_wsgi`.

In a test, a live server:

    with vestibule_wsgi.Server(app) as server:
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}/")
"""

from vestibule_wsgi._host import Server

__all__ = ["Server"]
