"""Talks to an echo over WebSocket by the library websockets, and prints what it found."""

import asyncio
import sys

import websockets


async def main(address):
    # It offers compression (RFC 7692), which the server does not take.
    async with websockets.connect(f"ws://{address}/chat", max_size=None, ping_interval=None) as socket:
        print("open", socket.protocol.extensions, flush=True)
        for text in ["one", "", "\u00e4\u20ac\U0001f600", "long " * 200_000]:
            await socket.send(text)
            print("echo", await socket.recv() == text, flush=True)
        await socket.send(["in ", "three ", "pieces"])
        print("pieces", await socket.recv(), flush=True)
        await asyncio.wait_for(await socket.ping(b"alive"), 20)
        print("pong", flush=True)

    async def one(index):
        async with websockets.connect(f"ws://{address}/chat", ping_interval=None) as socket:
            for turn in range(10):
                await socket.send(f"{index} {turn}")
                if await socket.recv() != f"{index} {turn}":
                    return False
            return True

    print("many", all(await asyncio.gather(*(one(index) for index in range(50)))), flush=True)

    try:
        await websockets.connect(f"ws://{address}/no", ping_interval=None)
    except websockets.exceptions.InvalidStatus as error:
        print("refused", error.response.status_code, flush=True)

    socket = await websockets.connect(f"ws://{address}/chat", ping_interval=None)
    await socket.send("still here")
    print(await socket.recv(), flush=True)
    try:
        await socket.recv()
    except websockets.exceptions.ConnectionClosed as error:
        print("closed", error.rcvd.code, error.rcvd.reason, flush=True)


asyncio.run(main(sys.argv[1]))
