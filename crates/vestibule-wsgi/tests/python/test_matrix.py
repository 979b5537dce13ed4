"""What nine other hosts get wrong, each row right here. The rows that are rules as well are in `test_rules.py`."""

import json

import pytest

from conftest import Server


def value(answer):
    assert answer.status == 200, answer
    return json.loads(answer.body)


def test_generator_with_start_response_in_its_first_step(raw):
    assert raw.get("/lazy").headers["content-type"] == "text/plain"


def test_custom_reason_phrase(raw):
    answer = raw.get("/reason")
    assert (answer.status, answer.reason) == (404, "Nothing Here")


def test_close_on_head(raw):
    assert raw.get("/closing?head-row", method="HEAD").status == 200
    assert value(raw.get("/seen?head-row")) == 1


def test_content_length_of_a_chunked_body_is_absent(raw):
    shown = value(raw.get("/environ", "Transfer-Encoding: chunked", method="POST", body=b"0\r\n\r\n"))
    assert "CONTENT_LENGTH" not in shown and shown["wsgi.input_terminated"] is True


def test_latin_1_response_header(raw):
    assert b"x-latin: \xe9\r\n" in raw.get("/headers").raw


def test_crlf_in_a_response_header_is_refused(raw):
    assert value(raw.get("/start?LF"))[0] == "ValueError"


def test_304_and_head_leave_nothing_behind(raw):
    with raw.connect() as client:
        assert client.ask("/not_modified").status == 304
        assert client.ask("/many", method="HEAD").status == 200
        assert client.ask("/one").text == "abc"


def test_nothing_after_a_body_with_a_length(raw):
    answer = raw.get("/with_length")
    assert answer.raw.endswith(b"\r\n\r\nabcdef")


@pytest.mark.parametrize(
    "target, path",
    [
        ("/environ/a%2Fb/%C3%A9", "/environ/a/b/\xc3\xa9"),
        ("/environ/%zz", "/environ/%zz"),
        ("//environ/../y", "//environ/../y"),
        ("http://h.test/environ/x", "/environ/x"),
    ],
)
def test_targets(raw, target, path):
    assert value(raw.get(target))["PATH_INFO"] == path


def test_proxy_header_never_becomes_http_proxy(raw):
    assert "HTTP_PROXY" not in value(raw.get("/environ", "Proxy: http://evil.test"))


def test_two_equal_lengths(raw):
    # RFC 9112 section 6.3 lets a server refuse or merge them. The app sees one number.
    answer = raw.get("/environ", "Content-Length: 3", "Content-Length: 3", method="POST", body=b"abc")
    assert answer.status == 400 or value(answer)["CONTENT_LENGTH"] == "3", answer


def test_length_beside_chunks_is_no_smuggling(raw):
    body = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    with raw.connect() as client:
        answer = client.ask("/echo", "Content-Length: 43", "Transfer-Encoding: chunked", method="POST", body=body)
        assert answer.status in (200, 400) and answer.body != body
        assert client.is_closed()


def test_http_1_0(raw):
    assert value(raw.get("/environ", version="HTTP/1.0"))["SERVER_PROTOCOL"] == "HTTP/1.0"


def test_threads_are_pythons_own(raw):
    name, is_main, kind = value(raw.get("/thread"))
    assert name.startswith("wsgi-") and not is_main and kind == "Thread"


def test_system_exit_is_a_500_and_the_server_lives(raw):
    for _ in range(8):
        assert raw.get("/raises?exit").status == 500
    assert raw.get("/one").text == "abc"


def test_a_broken_chunk_is_not_the_end(raw):
    with raw.connect() as client:
        client.request("/broken", "Transfer-Encoding: chunked", method="POST", body=b"3\r\nabc\r\nzz\r\n")
        while client.more():
            pass
    assert seen(raw, "broken")[0] is True


def test_a_short_body_is_not_the_end(raw):
    with raw.connect() as client:
        client.request("/broken", "Content-Length: 100", method="POST", body=b"abc")
    assert seen(raw, "broken")[0] is True


def seen(server, name):
    for _ in range(1000):
        found = value(server.get(f"/seen?{name}"))
        if found is not None:
            server.get(f"/forget?{name}")
            return found
    raise AssertionError(f"{name} was never seen")


def test_mounts(tmp_path):
    (tmp_path / "a.txt").write_text("from Rust")
    with Server("probes:app", "--processes", "1", "--static", f"/static={tmp_path}") as server:
        assert server.get("/static/a.txt").text == "from Rust"
        assert server.get("/static/b.txt").status == 404
        assert value(server.get("/environ"))["SCRIPT_NAME"] == ""
