// A client of an MCP server, as programs in TypeScript have it. As mcp_client.py; `library` is sdk (version 1 of the SDK, one
// era) or client (version 2, where `mode` is legacy, auto, or a version).
'use strict';

const { readFileSync } = require('node:fs');

function load(library) {
  if (library === 'sdk') {
    return {
      ...require('@modelcontextprotocol/sdk/client/index.js'),
      ...require('@modelcontextprotocol/sdk/client/streamableHttp.js'),
      ...require('@modelcontextprotocol/sdk/client/stdio.js'),
    };
  }
  return { ...require('@modelcontextprotocol/client'), ...require('@modelcontextprotocol/client/stdio') };
}

async function main() {
  const order = JSON.parse(readFileSync(0, 'utf8'));
  const { Client, StreamableHTTPClientTransport, StdioClientTransport } = load(order.library);
  const headers = { Authorization: `Bearer ${order.token}` };
  const transport = order.url
    ? new StreamableHTTPClientTransport(new URL(order.url), { requestInit: { headers } })
    : new StdioClientTransport({ command: order.command[0], args: order.command.slice(1) });
  const mode = order.mode === 'legacy' || order.mode === 'auto' ? order.mode : { pin: order.mode };
  const options = order.library === 'sdk' ? {} : { versionNegotiation: { mode } };
  const client = new Client({ name: 'a-client', version: '1.0.0' }, options);
  // What is no error of a call: messages that are not understood, a stream that breaks off.
  client.onerror = (error) => console.error(`onerror: ${error}`);
  await client.connect(transport);
  const tools = (await client.listTools()).tools.map((tool) => tool.name);
  const answers = [];
  for (const { tool, arguments: given } of order.calls) {
    const { content, structuredContent, isError } = await client.callTool({ name: tool, arguments: given });
    answers.push({ structured: structuredContent, text: content.map((block) => block.text), is_error: !!isError });
  }
  const version = client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion ?? null;
  // The older one complains when it is closed in the same breath in which the last stream has ended.
  client.onerror = undefined;
  await client.close();
  console.log(JSON.stringify({ version, tools, answers }));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
