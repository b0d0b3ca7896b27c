# A FastMCP server as anybody would write one, that also tells what it was asked: how often each method came, by which HTTP
# verb, and how many sessions it has opened. The first argument is its port, or 0 for any; it prints the one it has. With a second one,
# a folder with cert.pem and key.pem, it speaks TLS.
import json
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
