"""A client on Python's websockets. Orders come as lines of JSON on stdin; each is answered with a line on stdout."""

import asyncio
import json
import sys

import websockets


async def main():
    loop = asyncio.get_running_loop()
    ws = None
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        match order["do"]:
            case "connect":
                ws = await websockets.connect(order["url"])
                said = json.loads(await ws.recv())
            case "send":
                await ws.send(json.dumps(order["message"]))
                said = json.loads(await ws.recv())
            case "ping":
                await asyncio.wait_for(await ws.ping(), 10)
                said = "pong"
            case "events":
                numbers, seq = [], 0
                while len(numbers) < order["count"]:
                    event = json.loads(await ws.recv())
                    assert event["event"] == "note.taken" and event["seq"] > seq, event
                    seq = event["seq"]
                    numbers.append(event["data"]["number"])
                said = {"numbers": numbers, "seq": seq}
            case "closed":
                await ws.wait_closed()
                said = ws.close_code
            case "close":
                await ws.close()
                said = ws.close_code
        print(json.dumps(said), flush=True)


asyncio.run(main())
