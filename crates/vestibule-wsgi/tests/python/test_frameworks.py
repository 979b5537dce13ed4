"""Real frameworks under both checkers: no complaint of either."""

import json

import pytest

import probes
from conftest import Server

LINES = "".join(f"line {number}\n" for number in range(100))
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\nvalue\r\n'
    b'--b\r\nContent-Disposition: form-data; name="upload"; filename="a.bin"\r\n\r\n' + b"\0\xff" * 50_000 + b"\r\n--b--\r\n"
)


@pytest.fixture(scope="module", params=["flask", "django"])
def server(request):
    with Server(f"frameworks:{request.param}_app", "--processes", "1", "--threads", "4") as server:
        server.name = request.param
        yield server
        for word in ("WSGIWarning", "HTTPWarning", "AssertionError"):
            assert word not in server.log(), server.log()


def test_hello(server):
    answer = server.get("/")
    assert (answer.status, answer.text) == (200, "hello")


def test_head(server):
    assert server.get("/", method="HEAD").headers["content-length"] == "5"


def test_not_found(server):
    assert server.get("/no/such/page").status == 404


def test_stream_and_file(server):
    assert server.get("/stream").text == LINES
    assert server.get("/file").body == probes.CONTENT


@pytest.mark.parametrize("chunked", [False, True])
def test_upload(server, chunked):
    path = "/form" if server.name == "flask" else "/upload"
    headers, body = ["Content-Type: multipart/form-data; boundary=b"], FORM
    if chunked:
        headers.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(FORM), FORM)
        if server.name == "django":
            # Django reads as many bytes as CONTENT_LENGTH says, and so none here: on every host.
            return
    answer = server.get(path, *headers, method="POST", body=body)
    assert json.loads(answer.body)["length"] == 100_000, answer


def test_json(server):
    answer = server.get("/json", "Content-Type: application/json", method="POST", body=b'{"a": [1]}')
    assert answer.status == 200 and "a" in answer.text


def test_sessions(server):
    if server.name == "flask":
        cookie = server.get("/login/alice").headers["set-cookie"].split(";")[0]
        assert server.get("/who", f"Cookie: {cookie}").text == "alice"


def test_errors_are_the_frameworks(server):
    assert server.get("/boom").status == 500


def test_a_debug_page_for_flask():
    """Flask has a page of its own for errors, which says nothing, unless it is told that this is development."""
    with Server("frameworks:flask_app", "--processes", "1", "--debug") as server:
        answer = server.get("/boom", "Host: localhost")
        assert answer.status == 500 and "Traceback" in answer.text and "in boom" in answer.text
