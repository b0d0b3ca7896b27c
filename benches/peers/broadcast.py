"""Tells each line of its input to everybody who is connected, by `websockets`' own broadcast, which encodes it once.

Prints its port. Compression is off, as the library's own text on broadcasting advises; nobody here would ask for it.
"""

import asyncio
import sys

from websockets.asyncio.server import broadcast, serve

FOLLOWERS = set()


async def follow(follower):
    FOLLOWERS.add(follower)
    try:
        await follower.send("welcome")
        await follower.wait_closed()
    finally:
        FOLLOWERS.discard(follower)


async def main():
    lines = asyncio.StreamReader(limit=1 << 20)
    protocol = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    async with serve(follow, "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        while line := await lines.readline():
            broadcast(FOLLOWERS, line[:-1].decode())


asyncio.run(main())
