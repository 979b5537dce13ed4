"""Behind a web server: below a path, by a unix socket, with what the web server says of the client."""

import json
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from conftest import PATIENCE, Client, Server

ROOT = Path(__file__).parents[4]


class ByUnix(Server):
    """A server on a unix socket."""

    def __init__(self, target, *options, path, umask=None, **rest):
        self.path = path
        super().__init__(target, *options, where=f"unix:{path}", umask=umask, **rest)

    def connect(self):
        client = Client.__new__(Client)
        client.socket = socket.socket(socket.AF_UNIX)
        client.socket.settimeout(PATIENCE)
        client.socket.connect(str(self.path))
        client.data = b""
        return client


def environ(answer):
    assert answer.status == 200, answer
    return json.loads(answer.body)


@pytest.fixture(scope="module")
def mounted():
    with Server("probes:app", "--processes", "1", "--mount", "/app/", "--no-compression") as server:
        yield server


@pytest.mark.parametrize(
    "path, script, info",
    [
        ("/app", "/app", ""),
        ("/app/", "/app", "/"),
        ("/app/environ", "/app", "/environ"),
        ("/app/environ/a%2Fb/%C3%A9", "/app", "/environ/a/b/\xc3\xa9"),
        ("/app/environ/%zz", "/app", "/environ/%zz"),
        ("/app//environ//x", "/app", "//environ//x"),
        ("/app/environ/../x", "/app", "/environ/../x"),
        ("/app/app", "/app", "/app"),
        ("/%61pp/environ", "/app", "/environ"),
        ("http://h.test/app/environ", "/app", "/environ"),
    ],
)
def test_the_path_is_split_at_the_mount(mounted, path, script, info):
    shown = environ(mounted.get(path + "?q=1"))
    assert (shown["SCRIPT_NAME"], shown["PATH_INFO"], shown["QUERY_STRING"]) == (script, info, "q=1")


@pytest.mark.parametrize("path", ["/", "/apple", "/App", "//app", "/./app", "/x/../app", "/app%2Fx", "/environ"])
def test_other_paths_are_not_found(mounted, path):
    assert mounted.get(path).status == 404


@pytest.mark.parametrize("mode", ["777", "660", "600", None])
@pytest.mark.parametrize("processes", ["0", "1"])
def test_the_mode_of_the_socket(tmp_path, mode, processes):
    path = tmp_path / "app.sock"
    options = ["--socket-mode", mode] if mode else []
    with ByUnix("probes:app", "--processes", processes, *options, path=path, umask=0o022) as server:
        assert stat.S_IMODE(path.stat().st_mode) == int(mode or "755", 8)
        assert server.get("/environ").status == 200


def test_a_mode_without_a_socket_is_refused():
    server = Server("probes:app", "--socket-mode", "660", ready=False)
    assert server.process.wait(PATIENCE) == 2 and "--listen unix:PATH" in server.log()


def test_the_client_of_a_unix_socket_has_no_address(tmp_path):
    with ByUnix("probes:app", "--processes", "1", path=tmp_path / "app.sock") as server:
        shown = environ(server.get("/environ", "Host: site.test:8080"))
        assert shown["REMOTE_ADDR"] == "" and "REMOTE_PORT" not in shown
        assert (shown["SERVER_NAME"], shown["SERVER_PORT"]) == ("localhost", "8080")


#: Headers, the options, and what the app sees.
TOLD = [
    (["X-Forwarded-For: 9.9.9.9"], [], {"REMOTE_ADDR": "9.9.9.9", "REMOTE_PORT": None}),
    (["X-Forwarded-For: 9.9.9.9:77"], [], {"REMOTE_ADDR": "9.9.9.9", "REMOTE_PORT": "77"}),
    (["X-Forwarded-For: 6.6.6.6, 9.9.9.9"], [], {"REMOTE_ADDR": "9.9.9.9"}),
    (["X-Forwarded-Proto: https"], [], {"wsgi.url_scheme": "https", "HTTPS": "on", "SERVER_PORT": "443"}),
    ([], [], {"REMOTE_ADDR": "", "REMOTE_PORT": None, "wsgi.url_scheme": "http"}),
    # What is not asked for is not believed.
    (
        ["X-Forwarded-Host: evil.test", "X-Forwarded-Port: 9", "X-Forwarded-Prefix: /evil", "Forwarded: for=6.6.6.6;host=evil.test"],
        [],
        {"HTTP_HOST": "site.test", "SERVER_PORT": "80", "SCRIPT_NAME": "", "PATH_INFO": "/environ", "REMOTE_ADDR": ""},
    ),
    (["X-Forwarded-Host: real.test"], ["host"], {"HTTP_HOST": "real.test", "url": "http://real.test/environ"}),
    (["X-Forwarded-Host: real.test", "X-Forwarded-Port: 8443", "X-Forwarded-Proto: https"], ["host,port"], {"HTTP_HOST": "real.test:8443", "SERVER_PORT": "8443"}),
    (["X-Forwarded-Port: 443", "X-Forwarded-Proto: https"], ["port"], {"HTTP_HOST": "site.test", "SERVER_PORT": "443"}),
    (["X-Forwarded-Prefix: /app"], ["prefix"], {"SCRIPT_NAME": "/app", "PATH_INFO": "/environ", "url": "http://site.test/app/environ"}),
    (["X-Forwarded-Prefix: /app/"], ["prefix"], {"SCRIPT_NAME": "/app", "PATH_INFO": "/environ"}),
    (["X-Forwarded-Prefix: no-path"], ["prefix"], {"SCRIPT_NAME": "", "PATH_INFO": "/environ"}),
    (
        ["Forwarded: for=9.9.9.9;proto=https;host=real.test", "X-Forwarded-For: 6.6.6.6"],
        ["forwarded", "host"],
        {"REMOTE_ADDR": "9.9.9.9", "wsgi.url_scheme": "https", "HTTP_HOST": "real.test"},
    ),
    (['Forwarded: for="[2001:db8::1]:4711"'], ["forwarded"], {"REMOTE_ADDR": "2001:db8::1", "REMOTE_PORT": "4711"}),
    (["Forwarded: for=unknown;proto=https"], ["forwarded"], {"REMOTE_ADDR": "", "wsgi.url_scheme": "https"}),
]


@pytest.mark.parametrize("headers, fields, expected", TOLD)
def test_what_a_trusted_proxy_says(tmp_path, headers, fields, expected):
    options = [word for field in fields for word in ("--trust-fields", field)]
    with ByUnix("probes:app", "--processes", "1", "--trust-proxy", "unix", *options, path=tmp_path / "app.sock") as server:
        shown = environ(server.get("/environ", "Host: site.test", *headers))
        assert {name: shown.get(name) for name in expected} == expected


def test_nobody_else_is_believed(tmp_path):
    fields = ["--trust-proxy", "10.0.0.0/8", "--trust-fields", "host,port,prefix"]
    headers = ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: evil.test", "X-Forwarded-Port: 9", "X-Forwarded-Prefix: /evil", "X-Forwarded-Proto: https"]
    with Server("probes:app", "--processes", "1", *fields) as server:
        shown = environ(server.get("/environ", "Host: site.test", *headers))
        assert (shown["REMOTE_ADDR"], shown["HTTP_HOST"], shown["SCRIPT_NAME"], shown["wsgi.url_scheme"]) == ("127.0.0.1", "site.test", "", "http")
        assert not any(name.startswith("HTTP_X_FORWARDED") for name in shown)


def test_fields_without_a_proxy_are_refused():
    server = Server("probes:app", "--trust-fields", "host", ready=False)
    assert server.process.wait(PATIENCE) == 2 and "--trust-proxy" in server.log()


def test_a_prefix_of_the_proxy_and_a_mount_add_up(tmp_path):
    options = ["--trust-proxy", "unix", "--trust-fields", "prefix", "--mount", "/app"]
    with ByUnix("probes:app", "--processes", "1", *options, path=tmp_path / "app.sock") as server:
        shown = environ(server.get("/app/environ", "X-Forwarded-Prefix: /outer"))
        assert (shown["SCRIPT_NAME"], shown["PATH_INFO"]) == ("/outer/app", "/environ")


def test_static_files_are_below_the_mount(tmp_path):
    (tmp_path / "a.txt").write_text("a file")
    with Server("probes:app", "--processes", "1", "--mount", "/app", "--static", f"/static={tmp_path}", "--ready") as server:
        assert server.get("/app/static/a.txt").text == "a file"
        assert server.get("/static/a.txt").status == 404
        assert environ(server.get("/app/environ"))["PATH_INFO"] == "/environ"
        assert server.get("/-/ready").status == 200


DJANGO = """
from django.conf import settings
settings.configure(DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x")
import django
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path, reverse

def show(request):
    META = request.META
    return JsonResponse([META["REMOTE_ADDR"], request.build_absolute_uri(), reverse("show"), META.get("HTTP_X_REQUEST_ID", "")], safe=False)

urlpatterns = [path("", show), path("show/", show, name="show")]
application = get_wsgi_application()
"""

NGINX = """
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen unix:{directory}/nginx.sock;
        server_name _;
{block}
    }}
}}
"""


def vestibule():
    """The program beside the host, which prints the configuration."""
    program = ROOT / "target/debug/vestibule"
    assert program.exists(), "`cargo build -p vestibule-cli` builds the program that prints the configuration"
    return program


@pytest.fixture
def open_directory():
    """A directory that nginx, which runs as another user, may enter."""
    with tempfile.TemporaryDirectory(prefix="vestibule-") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@pytest.mark.parametrize("prefix", ["/", "/app"])
def test_behind_nginx_as_its_configuration_is_printed(open_directory, prefix):
    tmp_path = open_directory
    assert shutil.which("nginx") or os.path.exists("/usr/sbin/nginx"), "nginx is missing: `cargo xtask install`, or apt install nginx-light"
    sock = tmp_path / "app.sock"
    (tmp_path / "site_django.py").write_text(DJANGO)
    printed = subprocess.run([vestibule(), "config", "nginx", "--wsgi", "site_django", "--prefix", prefix, "--socket", sock], capture_output=True, text=True, check=True).stdout
    start = next(line for line in printed.splitlines() if "vestibule wsgi" in line)
    command = start.split("vestibule wsgi ")[1].split()
    target, options = command[0], command[1:]
    at = options.index("--listen")
    assert options[at + 1] == f"unix:{sock}"
    del options[at : at + 2]
    # nginx is of another group here.
    options[options.index("--socket-mode") + 1] = "666"
    (tmp_path / "nginx.conf").write_text(NGINX.format(directory=tmp_path, block=printed))
    with ByUnix(target, "--processes", "2", *options, path=sock, cwd=tmp_path):
        nginx = subprocess.Popen(["/usr/sbin/nginx", "-c", tmp_path / "nginx.conf", "-p", tmp_path, "-e", tmp_path / "error.log"])
        try:
            end = time.monotonic() + PATIENCE
            while not (tmp_path / "nginx.sock").exists():
                assert time.monotonic() < end and nginx.poll() is None, (tmp_path / "error.log").read_text()
                time.sleep(0.02)
            below = prefix.rstrip("/")
            headers = ["X-Forwarded-Prefix: /evil", "X-Forwarded-Host: evil.test", "X-Request-ID: evil", "Host: site.test"]
            answer = ask(tmp_path / "nginx.sock", below + "/show/?a=1", *headers)
            address, url, reversed_, id = json.loads(answer.body)
            assert (url, reversed_) == (f"http://site.test{below}/show/?a=1", f"{below}/show/")
            # nginx knows no address of a client of its own unix socket.
            assert address in ("", "unix:") and len(id) == 32
            assert ask(tmp_path / "nginx.sock", below + "/missing", "Host: site.test").status == 404
            # nginx's own limit would be 1 MiB.
            large = ask(tmp_path / "nginx.sock", below + "/show/", "Host: site.test", method="POST", body=b"x" * (3 << 20))
            assert large.status == 200
        finally:
            nginx.terminate()
            nginx.wait(PATIENCE)


def ask(path, target, *headers, method="GET", body=b""):
    client = Client.__new__(Client)
    client.socket = socket.socket(socket.AF_UNIX)
    client.socket.settimeout(PATIENCE)
    client.socket.connect(str(path))
    client.data = b""
    with client:
        return client.ask(target, *headers, "Connection: close", method=method, body=body)
