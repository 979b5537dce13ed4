"""PEP 3333 as a hundred rules, each a test by its number, on a live server."""

import json
import re
import socket
import time

import pytest

import probes
from conftest import Server, at_once


def value(answer):
    assert answer.status == 200, answer
    return json.loads(answer.body)


def environ(server, path="/environ", *headers, **options):
    return value(server.get(path, *headers, **options))


# Calling the app


def test_rule_001_two_positional_arguments(raw):
    assert value(raw.get("/arguments")) == [2, 0]


@pytest.mark.parametrize(
    "target, text",
    [
        ("probes:AsClass", "a class"),
        ("probes:instance", "an instance"),
        ("probes:instance.method", "a method"),
        ("probes:partial", "a partial"),
        ("probes:create_app()", "factory False"),
        ("probes:create_app('named', debug=True)", "named True"),
    ],
)
def test_rule_002_any_callable(target, text):
    with Server(target, "--processes", "0", "--threads", "1") as server:
        assert server.get("/").text == text


def test_rule_003_once_a_request(checked):
    first = value(checked.get("/counter"))
    assert [value(checked.get("/counter")) for _ in range(3)] == [first + 1, first + 2, first + 3]


def test_rule_004_threads(checked, single):
    most = max(value(answer)[0] for answer in at_once(8, lambda _: checked.get("/together")))
    assert most > 1 and environ(checked)["wsgi.multithread"] is True
    by_process = [value(answer) for answer in at_once(8, lambda _: single.get("/together"))]
    assert {most for most, _ in by_process} == {1} and environ(single)["wsgi.multithread"] is False


def test_rule_005_variables_of_the_deployer(raw):
    assert environ(raw)["DEPLOYED_AS"] == "probe"


# The environ


def test_rule_006_a_dict_of_its_own(checked):
    for _ in range(6):
        shown = environ(checked)
        assert shown["type(environ)"] == "dict" and shown["leak"] is None


@pytest.mark.parametrize("method", ["GET", "POST", "QUERY", "PROPFIND", "m-search"])
def test_rule_007_method(raw, method):
    assert environ(raw, method=method)["REQUEST_METHOD"] == method


def test_rule_008_script_name(checked):
    assert environ(checked)["SCRIPT_NAME"] == ""


def test_rule_009_path_info(checked):
    assert environ(checked, "/")["PATH_INFO"] == "/"
    assert environ(checked, "/a/")["PATH_INFO"] == "/a/"


def test_rule_010_query_string(checked):
    assert environ(checked, "/environ?a=%20&b")["QUERY_STRING"] == "a=%20&b"
    assert environ(checked)["QUERY_STRING"] == ""


def test_rule_011_content(checked):
    shown = environ(checked, "/environ", "Content-Type: text/x", method="POST", body=b"abc")
    assert (shown["CONTENT_TYPE"], shown["CONTENT_LENGTH"]) == ("text/x", "3")
    for shown in (shown, environ(checked)):
        assert not {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"} & set(shown)
    assert not {"CONTENT_TYPE", "CONTENT_LENGTH"} & set(environ(checked))


def test_rule_012_server(checked, tmp_path):
    shown = environ(checked)
    assert (shown["SERVER_NAME"], shown["SERVER_PORT"]) == ("127.0.0.1", str(checked.port))
    path = tmp_path / "s"
    with Server("probes:checked", "--processes", "1", "--listen", f"unix:{path}") as server:
        with server.connect() as client:
            client.socket.close()
            client.socket = socket.socket(socket.AF_UNIX)
            client.socket.connect(str(path))
            shown = value(client.ask("/environ", "Connection: close"))
        assert shown["SERVER_NAME"] and shown["SERVER_PORT"]
        # The one variable without a value that is there: frameworks read it without asking.
        assert shown["REMOTE_ADDR"] == "" and "REMOTE_PORT" not in shown
    assert not path.exists()


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_rule_013_protocol(checked, version):
    assert environ(checked, version=version)["SERVER_PROTOCOL"] == version


def test_rule_014_only_the_clients_headers(checked):
    shown = environ(checked, "/environ", "X-A: 1", "Accept:")
    # The request id is the server's own gift.
    names = {name for name in shown if name.startswith("HTTP_")} - {"HTTP_X_REQUEST_ID"}
    assert names == {"HTTP_HOST", "HTTP_X_A", "HTTP_ACCEPT"} and shown["HTTP_ACCEPT"] == ""


def test_rule_015_nothing_without_a_value(checked):
    shown = environ(checked)
    assert None not in [shown[name] for name in shown if name != "leak"] and "REMOTE_USER" not in shown


def test_rule_016_str(checked):
    assert environ(checked)["types"] == ["str"]


def test_rule_017_latin_1(checked):
    shown = environ(checked, "/environ/%E2%82%AC", "X-A: \xff")
    assert shown["PATH_INFO"] == "/environ/\xe2\x82\xac" and shown["HTTP_X_A"] == "\xff"


def test_rule_018_version(checked):
    shown = environ(checked)
    assert (shown["version"], shown["version type"]) == ([1, 0], "tuple")


def test_rule_019_scheme(checked):
    assert environ(checked)["wsgi.url_scheme"] == "http"
    with Server("probes:checked", "--processes", "1", "--trust-proxy", "127.0.0.1") as server:
        shown = environ(server, "/environ", "X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.1")
        assert (shown["wsgi.url_scheme"], shown["HTTPS"], shown["REMOTE_ADDR"]) == ("https", "on", "192.0.2.1")
    shown = environ(checked, "/environ", "X-Forwarded-Proto: https")
    assert shown["wsgi.url_scheme"] == "http" and "HTTPS" not in shown


def test_rule_020_concurrency(checked, single):
    keys = ["wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once"]
    assert [environ(checked)[key] for key in keys] == [True, False, False]
    assert [environ(single)[key] for key in keys] == [False, True, False]


def test_rule_021_own_keys(checked):
    own = [name for name in environ(checked) if "." in name]
    assert all(re.fullmatch(r"(wsgi|vestibule)\.[a-z_.0-9]+", name) for name in own), own
    assert "vestibule.queue_time" in own


def test_rule_022_https(checked):
    # With TLS ended by a proxy: see rule 19. Without, nothing says that there is any.
    assert "HTTPS" not in environ(checked)


def test_rule_023_more_of_cgi(checked):
    shown = environ(checked, "/environ/a%2Fb?c")
    assert shown["REQUEST_URI"] == shown["RAW_URI"] == "/environ/a%2Fb?c"
    assert shown["PATH_INFO"] == "/environ/a/b"
    assert shown["REMOTE_ADDR"] == "127.0.0.1" and int(shown["REMOTE_PORT"]) > 0
    assert shown["SERVER_SOFTWARE"].startswith("vestibule/") and shown["GATEWAY_INTERFACE"] == "CGI/1.1"


def test_rule_024_headers_that_came_twice(checked):
    shown = environ(checked, "/environ", "X-A: 1", "Cookie: a=1", "X-A: 2", "Cookie: b=2")
    assert (shown["HTTP_X_A"], shown["HTTP_COOKIE"]) == ("1, 2", "a=1; b=2")


def test_rule_025_underscores(checked):
    shown = environ(checked, "/environ", "X_Real: evil", "X-Real: good", "X_Forwarded_For: evil")
    assert shown["HTTP_X_REAL"] == "good" and "HTTP_X_FORWARDED_FOR" not in shown


def test_rule_026_absolute_target(checked):
    shown = environ(checked, "http://b.test/environ/x", "Host: a.test")
    assert (shown["HTTP_HOST"], shown["PATH_INFO"]) == ("b.test", "/environ/x")


def test_rule_027_input_terminated(checked):
    assert environ(checked)["wsgi.input_terminated"] is True
    chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert checked.get("/echo", "Transfer-Encoding: chunked", method="POST", body=chunks).body == b"abcde"


# Input and errors


def test_rule_028_methods(raw):
    assert value(raw.get("/methods")) == [True] * 7


def read(server, calls, body):
    with server.connect() as client:
        return value(client.ask(f"/read?{calls}", method="POST", body=body))


def test_rule_029_ends_with_the_body(raw):
    # The connection stays open: a read beyond the end must not wait for more.
    assert read(raw, "read(99),read(1),read(),readline()", b"abc") == ["abc", "", "", ""]
    assert read(raw, "read(5)", b"") == [""]


def test_rule_030_read_all(raw):
    for call in ("read()", "read(-1)", "read(None)"):
        assert read(raw, f"read(1),{call}", b"abcdef") == ["a", "bcdef"]


def test_rule_031_readline(raw):
    body = b"abcdefgh\nsecond\nthird"
    assert read(raw, "readline(5),readline(),readline(-1),readline(),readline()", body) == ["abcde", "fgh\n", "second\n", "third", ""]
    assert read(raw, "readline(),readline(3),readline()", b"a\nbcdef\n") == ["a\n", "bcd", "ef\n"]


def test_rule_032_readlines(raw):
    assert read(raw, "readlines()", b"a\nb\n\nc") == [["a\n", "b\n", "\n", "c"]]
    assert read(raw, "readlines(3),readlines()", b"a\nb\nc\n") == [["a\n", "b\n"], ["c\n"]]
    assert read(raw, "iter()", b"a\nb") == [["a\n", "b"]]


def test_rule_033_bytes(raw):
    # The probe asserts the types.
    assert read(raw, "read(1),readline(),readlines()", b"\xff\xfe\n\x00") == ["\xff", "\xfe\n", ["\x00"]]


def test_rule_034_read_nothing(raw):
    assert read(raw, "read(0),readline(0),read(0),read()", b"abc") == ["", "", "", "abc"]


def test_rule_035_nothing_else_is_needed(checked):
    # The validator's objects have nothing else, and everything passes under it.
    assert checked.get("/echo", method="POST", body=b"x" * 100_000).body == b"x" * 100_000


def test_rule_036_errors_take_any_text(checked):
    assert checked.get("/errors").text == "written"
    checked.wait_for("plain ✓ text")
    checked.wait_for(re.escape(r"a lone \udc80 surrogate"))


def test_rule_037_flush(checked):
    checked.get("/errors")
    checked.wait_for("second line without an end")


def test_rule_038_expect_continue(raw):
    with raw.connect() as client:
        client.request("/read?read()", "Expect: 100-continue", "Content-Length: 3", method="POST")
        while b"\r\n\r\n" not in client.data:
            assert client.more()
        assert client.data == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"abc")
        assert value(client.answer()) == ["abc"]
    with raw.connect() as client:
        client.request("/unread", "Expect: 100-continue", "Content-Length: 3", method="POST")
        assert client.answer().raw.startswith(b"HTTP/1.1 200")


def test_rule_039_transfer_encoding_is_the_servers(checked):
    chunks = b"3\r\nabc\r\n0\r\n\r\n"
    shown = environ(checked, "/environ", "Transfer-Encoding: chunked", method="POST", body=chunks)
    assert not {"HTTP_TRANSFER_ENCODING", "CONTENT_LENGTH"} & set(shown)


# start_response


def refused(server, what, *headers):
    answer = server.get(f"/start?{what.replace(' ', '%20')}", *headers)
    return value(answer)[0]


def test_rule_040_positional(raw):
    assert raw.get("/keywords").text == "TypeError"
    assert refused(raw, "four") == "TypeError"


def test_rule_041_write_is_returned(checked):
    checked.get("/open_gate?write")
    assert checked.get("/write").text == "one two three"


@pytest.mark.parametrize("what", ["bytes status", "bare", "long", "control", "informational", "wide status"])
def test_rule_042_status(raw, what):
    assert refused(raw, what) == ("TypeError" if what == "bytes status" else "ValueError")


@pytest.mark.parametrize("what", ["tuple of headers", "lists", "dict", "generator", "bytes value", "three"])
def test_rule_043_headers_are_a_list_of_tuples(raw, what):
    assert refused(raw, what) == "TypeError"


@pytest.mark.parametrize("what", ["CR", "LF", "NUL", "TAB name", "empty name", "colon name", "length", "lengths"])
def test_rule_044_names_and_values(raw, what):
    assert refused(raw, what) == "ValueError"


def test_rule_045_no_status_header(raw):
    assert refused(raw, "Status") == "AssertionError"


def test_rule_046_latin_1_only(raw):
    assert refused(raw, "wide") == "ValueError"
    assert raw.get("/headers").headers["x-latin"] == "\xe9"


HOP_BY_HOP = ["Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailers", "Transfer-Encoding", "Upgrade"]


@pytest.mark.parametrize("name", HOP_BY_HOP)
def test_rule_047_no_hop_by_hop_headers(raw, name):
    assert refused(raw, "hop", f"X-Name: {name}") == "AssertionError"


def test_rule_048_raised_inside_of_the_call(raw):
    # The probe catches it and sends a page of its own.
    answer = raw.get("/start?LF")
    assert answer.status == 200 and "control characters" in answer.text


def test_rule_049_the_head_waits_for_the_first_byte(checked):
    with checked.connect() as client:
        client.request("/late")
        client.socket.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.more()
        client.socket.settimeout(30)
        assert client.answer().status == 503


def test_rule_050_exc_info_replaces(checked):
    answer = checked.get("/late")
    assert (answer.status, answer.reason, answer.text) == (503, "Changed", "changed")
    assert "x-new" in answer.headers and "x-old" not in answer.headers


def test_rule_051_exc_info_too_late_raises(raw):
    answer = raw.get("/too_late")
    assert answer.body == b"begun" and not answer.is_whole
    assert value(raw.get("/seen?too_late")) == ["KeyError", "'too late'", True]


def test_rule_052_exc_info_is_a_tuple(raw):
    assert refused(raw, "exc_info") == "TypeError"


@pytest.mark.parametrize("path", ["/twice", "/twice_after_error"])
def test_rule_053_twice_is_fatal(raw, path):
    assert raw.get(path).status == 500


def test_rule_054_exc_info_is_not_kept(raw):
    assert value(raw.get("/reference")) is True


def test_rule_055_what_it_raises_cuts_the_response(raw):
    # The app lets it pass, as it must; the client can tell.
    assert not raw.get("/too_late").is_whole
    raw.wait_for("KeyError: 'too late'")


def test_rule_056_content_type(checked):
    assert "content-type" not in checked.get("/no_content").headers
    assert checked.get("/one").headers["content-type"] == "text/plain"


def test_rule_057_one_date(checked):
    answer = checked.get("/date")
    dates = [text for name, text in answer.lines if name.lower() == "date"]
    assert dates == ["Thu, 01 Jan 1970 00:00:00 GMT"]
    assert "date" in checked.get("/one").headers


def test_rule_058_the_list_stays_the_apps(checked):
    assert [value(checked.get("/same_list")) for _ in range(3)] == [2, 2, 2]


# write() and the iterable


def test_rule_059_write_takes_bytes(raw):
    assert raw.get("/write_text").status == 500
    raw.wait_for("TypeError: a response is made of bytes, not of str")


def test_rule_060_write_comes_from_start_response(checked):
    # There is no other way to it, so it cannot come before.
    assert checked.get("/seen?nothing").text == "null"


def test_rule_061_written_blocks_are_on_their_way(raw):
    with raw.connect() as client:
        client.request("/write")
        client.begin()
        assert client.chunk() == b"one "
        raw.get("/open_gate?write")
        assert client.chunks()[0] == b"two three"


def test_rule_062_written_before_yielded(checked):
    checked.get("/open_gate?write")
    assert checked.get("/write").text == "one two three"


@pytest.mark.parametrize("what", ["None", "False", "str", "bytes", "int"])
def test_rule_063_an_iterable(raw, what):
    assert raw.get(f"/bad_result?{what}").status == 500
    if what in ("None", "str", "bytes"):
        raw.wait_for(f"TypeError: the app returned (a )?{what}, not an iterable of bytes")


@pytest.mark.parametrize("what", ["ints", "strs", "Nones"])
def test_rule_064_of_bytes(raw, what):
    assert raw.get(f"/bad_result?{what}").status == 500
    answer = raw.get("/str_in_the_middle")
    assert answer.body == b"bytes" and not answer.is_whole


def test_rule_065_start_response_in_the_first_step(checked):
    assert checked.get("/lazy").text == "lazy"


@pytest.mark.parametrize("path", ["/never", "/never_and_nothing"])
def test_rule_066_never_started(raw, path):
    assert raw.get(path).status == 500
    raw.wait_for("AssertionError: the app has not called start_response")


def test_rule_067_length_of_the_iterable(checked, raw):
    # The validator's wrapper has no length.
    assert raw.get("/one").headers["content-length"] == "3"
    assert checked.get("/all_bytes").is_whole


@pytest.mark.parametrize("how", ["normal", "error", "gone", "HEAD", "304"])
def test_rule_068_close_once(raw, how):
    if how == "gone":
        with raw.connect() as client:
            client.request("/closing?gone")
            client.more()
            client.socket.close()
    else:
        raw.get(f"/closing?{how}", method="HEAD" if how == "HEAD" else "GET")
    closed = 0
    end = time.monotonic() + 30
    while not closed and time.monotonic() < end:
        closed = value(raw.get(f"/seen?{how}")) or 0
    assert closed == 1
    assert value(raw.get(f"/seen?{how}")) == 1


def test_rule_068_finally_of_a_generator(raw):
    with raw.connect() as client:
        client.request("/finally_")
        client.more()
    end = time.monotonic() + 30
    while value(raw.get("/seen?finally")) is None:
        assert time.monotonic() < end


def test_rule_069_not_iterated_after_close(raw):
    # The probe asserts it.
    raw.get("/closing?after")
    assert value(raw.get("/seen?after")) == 1 and "iterated after close" not in raw.log()


def test_rule_070_no_other_attribute(raw):
    assert raw.get("/closing?other").text == "firstsecond"
    assert "the server has asked for" not in raw.log()


def test_rule_071_blocks_are_not_held(raw):
    with raw.connect() as client:
        client.request("/events")
        client.begin()
        for number in range(3):
            assert client.chunk() == b"data: %d\n\n" % number
            raw.get(f"/open_gate?event_{number}")
        assert client.chunk() == b""


def test_rule_072_nothing_does_not_send_the_head(checked):
    # `late` yields b"" and then replaces its head.
    assert checked.get("/late").status == 503


def test_rule_073_bytes_are_not_altered(checked):
    assert checked.get("/all_bytes").body == bytes(range(256)) + b"\r\n\n"


def test_rule_074_no_more_than_needed(checked):
    assert checked.get("/stops").text == "abab"
    # One more than the length needs: the first block beyond it ends the loop.
    assert value(checked.get("/seen?blocks")) == 3


# Lengths


@pytest.mark.parametrize("how", ["one", "many", "write"])
def test_rule_075_never_more_than_announced(raw, how):
    with raw.connect() as client:
        answer = client.ask(f"/over?{how}")
        assert answer.text == "abcd" and answer.headers["content-length"] == "4"
        assert client.ask("/one").text == "abc"


@pytest.mark.parametrize("how", ["one", "many"])
def test_rule_076_fewer_than_announced(raw, how):
    with raw.connect() as client:
        answer = client.ask(f"/under?{how}")
        assert not answer.is_whole and client.is_closed()
    raw.wait_for("its Content-Length says")


def test_rule_077_length_of_one(raw):
    answer = raw.get("/one")
    assert answer.headers["content-length"] == "3" and "transfer-encoding" not in answer.headers


def test_rule_078_chunked_or_closed(checked):
    assert checked.get("/many").headers["transfer-encoding"] == "chunked"
    answer = checked.get("/many", version="HTTP/1.0")
    assert "transfer-encoding" not in answer.headers and answer.text == "abcdef"


def test_rule_079_no_transfer_encoding_of_the_apps(raw):
    assert raw.get("/transfer_encoding").status == 500


def test_rule_080_head(raw):
    with raw.connect() as client:
        for path, length in [("/with_length", "6"), ("/one", "3"), ("/many", None), ("/all_bytes", None)]:
            answer = client.ask(path, method="HEAD")
            assert answer.headers.get("content-length") == length, path
        # Nothing of a body is left between the two.
        assert client.ask("/one").text == "abc"


def test_rule_081_no_body(raw):
    with raw.connect() as client:
        for path in ("/no_content", "/not_modified"):
            answer = client.ask(path)
            assert "content-length" not in answer.headers and "transfer-encoding" not in answer.headers
        assert client.ask("/one").text == "abc"


# Middleware, in Python and ours


def test_rule_082_both_sides(raw):
    assert raw.get("/middleware_checked").text == "ONE TWO"


def test_rule_083_a_block_for_a_block(checked):
    # Our compression lets each block through, too: the client decodes the first before the second is made.
    import zlib

    with Server("probes:app", "--processes", "1", "--threads", "4") as server, server.connect() as client:
        client.request("/events", "Accept-Encoding: gzip")
        head = client.begin()
        decoder = zlib.decompressobj(31) if b"content-encoding: gzip" in head else None
        text = b""
        for number in range(3):
            while not text.endswith(b"data: %d\n\n" % number):
                chunk = client.chunk()
                assert chunk, text
                text += decoder.decompress(chunk) if decoder else chunk
            server.get(f"/open_gate?event_{number}")


def test_rule_084_returns_at_once(checked):
    assert checked.get("/middleware").text == "ONE TWO"


def test_rule_085_written_stays_written(raw):
    assert raw.get("/middleware?write").text == "WRITTEN ONE TWO"


def test_rule_086_close_is_passed_on(raw):
    raw.get("/middleware?closing")
    assert value(raw.get("/seen?inner")) == 1


def test_rule_087_a_changed_body_has_no_old_length(checked):
    answer = checked.get("/middleware?length")
    assert "content-length" not in answer.headers and answer.is_whole
    big = checked.get("/echo", "Accept-Encoding: gzip", "Content-Type: text/plain", method="POST", body=b"a" * 5000)
    assert big.is_whole


def test_rule_088_a_page_in_place_of_an_error(raw):
    answer = raw.get("/swallows")
    assert (answer.status, answer.text) == (502, "a page of the middleware's")


def test_rule_089_functions_of_the_environ(checked):
    # A mount by a middleware: the URL is rebuilt from what the environ says now.
    assert environ(checked, "/environ/a%20b?c=d")["url"] == "http://example.test/environ/a%20b?c=d"


def test_rule_090_extensions_need_the_servers_own(raw):
    # `wsgi.file_wrapper` is the one that we have: what is not the app's return value sends nothing.
    assert raw.get("/file?dropped").text == "not the file"


# Errors and files


@pytest.mark.parametrize("what", ["exit", "interrupt", "generator", "base", "memory", "stop", "value", "recursion"])
def test_rule_091_whatever_is_raised(raw, what):
    answer = raw.get(f"/raises?{what}")
    assert answer.status == 500 and "Traceback" not in answer.text
    name = {"exit": "SystemExit", "interrupt": "KeyboardInterrupt", "value": "ValueError", "recursion": "RecursionError"}.get(what)
    if name:
        raw.wait_for(rf"Traceback \(most recent call last\):(.|\n)+?{name}")
    assert raw.get("/one").text == "abc"


@pytest.mark.parametrize("what", ["error", "exit"])
def test_rule_092_cut_in_the_middle(raw, what):
    answer = raw.get(f"/raises_in_the_middle?{what}")
    assert answer.body == b"begun " and not answer.is_whole
    # To a client of HTTP/1.0 the end of the connection is the end of the body, so it is reset.
    with raw.connect() as client:
        client.request(f"/raises_in_the_middle?{what}", version="HTTP/1.0")
        with pytest.raises(ConnectionResetError):
            while client.socket.recv(65536):
                pass


def test_rule_093_semantics_stay(raw):
    answer = raw.get("/headers")
    cookies = [text for name, text in answer.lines if name.lower() == "set-cookie"]
    assert cookies == ["a=1", "b=2"]


def test_rule_094_a_client_that_leaves_is_no_error(raw):
    before = raw.log().count("Traceback")
    with raw.connect() as client:
        client.request("/finally_")
        client.more()
    assert raw.get("/one").text == "abc"
    assert raw.log().count("Traceback") == before


def test_rule_095_file_wrapper(raw):
    assert raw.get("/file").body == probes.CONTENT
    assert raw.get("/file?dropped").text == "not the file"


def test_rule_096_close_of_the_file(raw):
    assert value(raw.get("/file_close")) == [False, True]
    raw.get("/file?bytes")
    assert value(raw.get("/seen?tracked")) >= 1
    raw.get("/file")
    end = time.monotonic() + 30
    while not value(raw.get("/file_closed")):
        assert time.monotonic() < end


def test_rule_097_from_where_the_file_is(raw):
    assert raw.get("/file?seek").body == probes.CONTENT[10:]
    assert raw.get("/file?reads").body == probes.CONTENT[3:]
    answer = raw.get("/file?short")
    assert answer.body == probes.CONTENT[:20] and answer.headers["content-length"] == "20"


@pytest.mark.parametrize("how", ["bytes", "gzip"])
def test_rule_098_what_only_reads(raw, how):
    assert raw.get(f"/file?{how}").body == probes.CONTENT


def test_rule_099_length_of_the_file(raw):
    assert raw.get("/file").headers["content-length"] == str(len(probes.CONTENT))
    head = raw.get("/file", method="HEAD")
    assert head.headers["content-length"] == str(len(probes.CONTENT))


def test_rule_100_the_url(checked):
    for target in ("/environ/caf%C3%A9?a=b", "/environ/x%2Fy"):
        url = environ(checked, target, "Host: example.test:8000")["url"]
        assert url == "http://example.test:8000" + target.replace("%2F", "/")


def test_every_rule_has_its_test():
    numbers = {int(name[10:13]) for name in globals() if name.startswith("test_rule_")}
    assert numbers == set(range(1, 101))
