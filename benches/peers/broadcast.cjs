// Tells each line of its input to everybody who is connected, as the documentation of `ws` shows it. Prints its port.

const readline = require('node:readline');
const { WebSocket, WebSocketServer } = require('ws');

const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
server.on('listening', () => console.log(server.address().port));
server.on('connection', (follower) => follower.send('welcome'));

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  // Made into bytes once, not for each.
  const text = Buffer.from(line);
  server.clients.forEach((follower) => {
    if (follower.readyState === WebSocket.OPEN) follower.send(text, { binary: false });
  });
}).on('close', () => process.exit());
