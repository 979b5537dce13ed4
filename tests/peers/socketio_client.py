"""Talks Socket.IO: by polling at first, then by WebSocket, and by polling alone; prints what it found."""

import sys
import threading

import socketio


def main(address):
    for transports in [None, ["polling"], ["websocket"]]:
        client = socketio.Client(reconnection=False)
        news, gone = threading.Event(), threading.Event()
        heard = []
        client.on("news", lambda text: (heard.append(text), news.set()))
        client.on("disconnect", lambda *reason: gone.set())
        client.connect(f"http://{address}", transports=transports, wait_timeout=20)
        print("transport", client.transport(), flush=True)
        print("echo", client.call("echo", "hello \u00e4", timeout=20), flush=True)
        large = "x" * 50_000
        print("large", client.call("echo", large, timeout=20) == large, flush=True)
        print("many", sum(client.call("echo", index, timeout=20) for index in range(20)), flush=True)
        client.emit("tell me")
        print("news", news.wait(20), heard, flush=True)
        client.disconnect()
        print("gone", gone.wait(20), flush=True)

    # One that is connected when the server ends.
    client = socketio.Client(reconnection=False)
    gone = threading.Event()
    client.on("disconnect", lambda *reason: gone.set())
    client.connect(f"http://{address}", wait_timeout=20)
    print("waits", client.call("echo", "1", timeout=20), flush=True)
    print("told", gone.wait(60), flush=True)


main(sys.argv[1])
