# A FastMCP server as anybody would write one, that also tells what it was asked: how often each method came, by which HTTP
# verb, and how many sessions it has opened. The first argument is its port, or 0 for any; it prints the one it has. With a second one,
# a folder with cert.pem and key.pem, it speaks TLS. While there is a file that HOLD names, get_session_analytics does not answer,
# and makes a file HOLD.held when it is asked.
import asyncio
import json
import os
import socket
import sys

import uvicorn
from fastmcp import FastMCP

server = FastMCP("foreign")
asked = {}
sessions = set()


@server.tool
def numbers() -> dict:
    return {"active_sessions": 3, "nested": {"total": 41}}


@server.tool
def text() -> str:
    return "hello"


@server.tool
def listed() -> list[int]:
    return [1, 2]


@server.tool
def json_text() -> str:
    return json.dumps({"active_sessions": 3})


@server.tool
def unsuccessful() -> dict:
    return {"success": False, "error": "no database"}


@server.tool
def broken() -> str:
    raise ValueError("on purpose")


@server.tool
def get_activity_summary() -> dict:
    return {"active_sessions": 3, "total_sessions": 41}


@server.tool
def get_workflow_metrics() -> dict:
    return {"workflows_completed": 5, "workflows_failed": 1, "avg_duration": 2.5}


@server.tool
async def get_session_analytics() -> str:
    hold = os.environ.get("HOLD")
    if hold and os.path.exists(hold):
        open(hold + ".held", "w").close()
        await asyncio.sleep(600)
    return json.dumps({"total_checkpoints": 9, "avg_checkpoint_size": 1024, "avg_session_duration": 90})


@server.tool
def get_performance_metrics() -> dict:
    return {"cpu_usage": 12.5, "memory_usage": 80, "response_time": 0.25}


@server.tool
def seen() -> dict:
    return {"asked": asked, "sessions": len(sessions)}


class Recorder:
    """Counts what passes, and changes nothing."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        body = b""

        async def hear():
            nonlocal body
            message = await receive()
            if message["type"] == "http.request":
                body += message.get("body", b"")
                if not message.get("more_body"):
                    method = json.loads(body)["method"] if body else scope["method"]
                    asked[method] = asked.get(method, 0) + 1
            return message

        async def say(message):
            if message["type"] == "http.response.start":
                sessions.update(value for name, value in message["headers"] if name.lower() == b"mcp-session-id")
            await send(message)

        await self.app(scope, hear if scope["type"] == "http" else receive, say)


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
print(listener.getsockname()[1], flush=True)
tls = {"ssl_certfile": sys.argv[2] + "/cert.pem", "ssl_keyfile": sys.argv[2] + "/key.pem"} if sys.argv[2:] else {}
config = uvicorn.Config(Recorder(server.http_app(path="/mcp")), log_level="critical", **tls)
uvicorn.Server(config).run(sockets=[listener])
