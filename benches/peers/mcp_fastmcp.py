# A FastMCP server with two tools that answer from memory, what ANSWER says. Prints its port. Everything that costs it time and is
# no part of a call is off: its log, and streams for answers that are there at once.
import json
import os
import socket

import uvicorn
from fastmcp import FastMCP

answer = json.loads(os.environ["ANSWER"])
server = FastMCP("peer")


@server.tool
async def list_pools() -> dict:
    return answer


@server.tool
async def get_pool_status(pool_id: str) -> dict:
    return {"success": True, "pool_id": pool_id, "status": answer["pools"][0]}


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
app = server.http_app(path="/mcp", json_response=True)
config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="on")
uvicorn.Server(config).run(sockets=[listener])
