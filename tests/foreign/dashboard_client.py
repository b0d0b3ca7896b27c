"""Behaves like dashboards that exist: a connection for each of three channels, and the frame after subscribe is the answer."""

import asyncio
import json
import sys

import websockets

CHANNELS = ["global", "pool:local", "insights"]


async def subscribe(url, channel):
    ws = await websockets.connect(url)
    welcome = json.loads(await ws.recv())
    message = {"type": "request", "event": "subscribe", "data": {"channel": channel}, "id": f"sub_{channel}"}
    await ws.send(json.dumps(message))
    return ws, {"welcome": welcome, "answer": json.loads(await ws.recv())}


async def status(ws):
    message = {"type": "request", "event": "get_pool_status", "data": {"pool_id": "local"}, "id": "status"}
    await ws.send(json.dumps(message))
    while (answer := json.loads(await ws.recv()))["type"] != "response":
        pass
    return answer


async def main(url):
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.readline)
    connected = [await subscribe(url, channel) for channel in CHANNELS]
    print(json.dumps([answers for _, answers in connected]), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    by_channel = {channel: ws for channel, (ws, _) in zip(CHANNELS, connected)}
    seen = {
        "insights": json.loads(await by_channel["insights"].recv()),
        "global": json.loads(await by_channel["global"].recv()),
        "status": await status(by_channel["pool:local"]),
    }
    print(json.dumps(seen), flush=True)


asyncio.run(main(sys.argv[1]))
