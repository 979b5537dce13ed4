"""Calls every kind of gRPC method by grpcio, and prints what came back, a line for each call."""

import sys
import threading

import grpc


def show(name, call):
    try:
        print(name, call(), flush=True)
    except grpc.RpcError as error:
        print(name, error.code().name, repr(error.details()), flush=True)


def main(address):
    channel = grpc.insecure_channel(address)
    grpc.channel_ready_future(channel).result(timeout=20)
    unary = channel.unary_unary("/test.Calls/Unary")
    stream = channel.unary_stream("/test.Calls/Stream")
    collect = channel.stream_unary("/test.Calls/Collect")
    both = channel.stream_stream("/test.Calls/Both")

    def with_metadata():
        answer, call = unary.with_call(b"hello", metadata=[("x-asked", "1"), ("x-raw-bin", b"\0\xff")])
        initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
        return answer, initial["x-told"], initial["x-raw-bin"], trailing.get("x-late")

    show("unary", lambda: unary(b"hello"))
    show("empty", lambda: unary(b""))
    show("large", lambda: unary(b"x" * 1_000_000) == b"x" * 1_000_000)
    show("metadata", with_metadata)
    show("refused", lambda: unary(b"refuse"))
    show("stream", lambda: [message.decode() for message in stream(b"3")])

    def until_it_fails():
        seen = []
        try:
            for message in stream(b"2 and fail"):
                seen.append(message.decode())
        except grpc.RpcError as error:
            return seen, error.code().name, error.details()

    show("stream fails", until_it_fails)
    show("nothing", lambda: list(stream(b"0")))
    show("collect", lambda: collect(iter([b"a", b"bc", b"d" * 100_000])))
    show("collect nothing", lambda: collect(iter([])))
    show("both", lambda: list(both(iter([b"a", b"b", b"c"]))))

    def code(call):
        # The text is the client's own, and has several forms.
        try:
            return call()
        except grpc.RpcError as error:
            return error.code().name

    show("deadline", lambda: code(lambda: unary(b"wait", timeout=0.3)))
    show("deadline of a stream", lambda: code(lambda: list(stream(b"1 and wait", timeout=0.3))))
    show("unknown", lambda: channel.unary_unary("/test.Calls/Unknown")(b""))

    def cancelled():
        call = stream(b"1 and wait")
        next(call)
        call.cancel()
        return call.code().name

    show("cancelled", cancelled)
    many = [unary.future(b"%d" % index) for index in range(200)]
    show("many", lambda: sum(int(call.result(timeout=20)) for call in many))
    show("again", lambda: unary(b"still here"))

    # A call that is open when the server begins to end goes on to its own end.
    go_on = threading.Event()

    def messages():
        yield b"before"
        go_on.wait(20)
        yield b"after"

    open_call = both(messages())
    print("open", next(open_call), flush=True)
    sys.stdin.readline()
    go_on.set()
    show("to its end", lambda: list(open_call))


main(sys.argv[1])
