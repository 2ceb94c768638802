// better-sse on Node's own HTTP server as `cargo xtask bench-peers` measures it: a channel per topic,
// as its README shows. It keeps no events, so nothing can be resumed.
import { createServer } from "node:http";
import { createChannel, createSession } from "better-sse";

const channels = new Map();

function channel(topic) {
  let found = channels.get(topic);
  if (!found) {
    found = createChannel();
    channels.set(topic, found);
  }
  return found;
}

const server = createServer(async (request, response) => {
  const topic = request.url.slice(request.url.indexOf("/", 1) + 1);
  if (request.method === "GET") {
    channel(topic).register(await createSession(request, response));
    return;
  }
  let body = "";
  for await (const part of request) body += part;
  channel(topic).broadcast(JSON.parse(body));
  response.writeHead(204).end();
});

const [host, port] = process.argv[2].split(":");
server.listen({ host, port: Number(port), backlog: 4096 });
