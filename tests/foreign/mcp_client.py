"""A client of an MCP server, as programs in Python have it. Reads one JSON object from standard input: `library` (fastmcp or
mcp), `mode` (legacy, auto, or a version), `url` and `token` or `command`, and `calls`, each a tool with its arguments. Writes
the version that was agreed on, the names of the tools, and what each call was answered."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from datetime import timedelta

SECONDS = 60


def shown(result):
    structured = getattr(result, "structured_content", None) or getattr(result, "structuredContent", None)
    text = [block.text for block in result.content]
    is_error = getattr(result, "is_error", None) or getattr(result, "isError", None) or False
    return {"structured": structured, "text": text, "is_error": is_error}


async def fastmcp(order):
    import fastmcp
    from fastmcp.client.transports import StdioTransport, StreamableHttpTransport

    if order.get("url"):
        transport = StreamableHttpTransport(order["url"], auth=order["token"])
    else:
        transport = StdioTransport(order["command"][0], order["command"][1:])
    # The older one knows one era, and has no such choice.
    choice = {"mode": order["mode"]} if fastmcp.__version__ >= "4" else {}
    async with fastmcp.Client(transport, timeout=SECONDS, **choice) as client:
        tools = [tool.name for tool in await client.list_tools()]
        answers = []
        for call in order["calls"]:
            answers.append(shown(await client.call_tool(call["tool"], call["arguments"], raise_on_error=False)))
        version = None
        if not choice:
            version = client.initialize_result.protocolVersion
        elif hasattr(client.session, "protocol_version"):
            version = client.session.protocol_version
        return {"version": version, "tools": tools, "answers": answers}


async def official(order):
    import mcp

    if hasattr(mcp, "Client"):
        from mcp.client.streamable_http import streamable_http_client
        from mcp.shared._httpx_utils import create_mcp_http_client
    else:
        from mcp.client.streamable_http import streamablehttp_client
    async with AsyncExitStack() as stack:
        if order.get("url") and hasattr(mcp, "Client"):
            http = create_mcp_http_client(headers={"Authorization": "Bearer " + order["token"]})
            target = streamable_http_client(order["url"], http_client=await stack.enter_async_context(http))
        elif order.get("url"):
            target = streamablehttp_client(order["url"], headers={"Authorization": "Bearer " + order["token"]})
        else:
            target = mcp.StdioServerParameters(command=order["command"][0], args=order["command"][1:])
            target = mcp.stdio_client(target)
        if hasattr(mcp, "Client"):
            client = mcp.Client(target, mode=order["mode"], read_timeout_seconds=SECONDS)
            client = await stack.enter_async_context(client)
            version = client.session.protocol_version
        else:
            read, write, *_ = await stack.enter_async_context(target)
            session = mcp.ClientSession(read, write, read_timeout_seconds=timedelta(seconds=SECONDS))
            client = await stack.enter_async_context(session)
            version = (await client.initialize()).protocolVersion
        tools = [tool.name for tool in (await client.list_tools()).tools]
        answers = [shown(await client.call_tool(call["tool"], call["arguments"])) for call in order["calls"]]
        return {"version": version, "tools": tools, "answers": answers}


order = json.load(sys.stdin)
print(json.dumps(asyncio.run({"fastmcp": fastmcp, "mcp": official}[order["library"]](order))))
