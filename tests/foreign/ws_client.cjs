// A client on npm's ws. Orders come as lines of JSON on stdin; each is answered with a line on stdout.

const { WebSocket } = require('ws');
const readline = require('node:readline');
const { once } = require('node:events');

let ws;
let messages = [];
let waiting = null;

async function next() {
  while (messages.length === 0) await new Promise((resolve) => { waiting = resolve; });
  return JSON.parse(messages.shift());
}

function connect(url) {
  ws = new WebSocket(url);
  messages = [];
  ws.closed = new Promise((resolve) => ws.on('close', (code) => resolve(code)));
  ws.on('error', () => {});
  ws.on('message', (data) => {
    messages.push(data.toString());
    if (waiting) waiting();
  });
}

async function perform(order) {
  switch (order.do) {
    case 'connect':
      connect(order.url);
      return next();
    case 'send':
      ws.send(JSON.stringify(order.message));
      return next();
    case 'ping':
      ws.ping();
      await once(ws, 'pong');
      return 'pong';
    case 'events': {
      const numbers = [];
      let seq = 0;
      while (numbers.length < order.count) {
        const event = await next();
        if (event.event !== 'note.taken' || event.seq <= seq) throw new Error(JSON.stringify(event));
        seq = event.seq;
        numbers.push(event.data.number);
      }
      return { numbers, seq };
    }
    case 'closed':
      return ws.closed;
    case 'close':
      ws.close(1000);
      return ws.closed;
  }
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await perform(JSON.parse(line)))}\n`);
  }
})();
