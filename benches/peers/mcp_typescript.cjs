// As mcp_fastmcp.py, with the SDK of TypeScript, on the HTTP server of Node.js itself. One session, as opening one for each call
// would cost it more.
'use strict';

const { randomUUID } = require('node:crypto');
const { createServer } = require('node:http');
const { McpServer } = require('@modelcontextprotocol/sdk/server/mcp.js');
const { StreamableHTTPServerTransport } = require('@modelcontextprotocol/sdk/server/streamableHttp.js');
const { z } = require('zod');

const answer = JSON.parse(process.env.ANSWER);
const result = (structuredContent) => ({
  content: [{ type: 'text', text: JSON.stringify(structuredContent) }],
  structuredContent,
});

const server = new McpServer({ name: 'peer', version: '1.0.0' });
server.registerTool('list_pools', {}, async () => result(answer));
server.registerTool('get_pool_status', { inputSchema: { pool_id: z.string() } }, async ({ pool_id }) =>
  result({ success: true, pool_id, status: answer.pools[0] }));
const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, enableJsonResponse: true });

server.connect(transport).then(() => {
  const http = createServer((request, response) => transport.handleRequest(request, response));
  http.listen(0, '127.0.0.1', () => console.log(http.address().port));
});
