/** The page's terminals, built by Vite and served as the daemon serves its page: with its policy, from one origin with the API. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, request as send } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import type { Duplex } from "node:stream";
import { build } from "vite";
import config from "../../web/vite.config.ts";

const TYPES: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'";

export interface TerminalPage extends AsyncDisposable {
  /** Of a sandbox's terminals. */
  url: (sandbox: string) => string;
}

/** @param socket of the daemon */
export async function serveTerminalPage(socket: string): Promise<TerminalPage> {
  const outDir = mkdtempSync(join(tmpdir(), "thaw-terminal-page-"));
  const root = join(import.meta.dirname, "../fixtures/terminal-page");
  await build({ ...config, configFile: false, root, build: { ...config.build, outDir } });
  const server = createServer((request, response) => {
    const { url = "/", method, headers } = request;
    if (url.startsWith("/v1/")) {
      const asked = send({ socketPath: socket, path: url, method, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
        answer.on("error", () => response.destroy());
      });
      // As for a page whose daemon is gone: no answer.
      asked.on("error", () => request.socket.destroy());
      response.on("close", () => asked.destroy());
      request.pipe(asked);
      return;
    }
    try {
      const name = url === "/" ? "/index.html" : url;
      const content = readFileSync(join(outDir, name));
      response.writeHead(200, {
        "content-type": TYPES[extname(name)] ?? "application/octet-stream",
        "content-security-policy": POLICY,
      });
      response.end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  server.on("upgrade", (request, near, head) => relay(socket, request, near, head));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: (sandbox) => `http://127.0.0.1:${port}/#${sandbox}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(outDir, { recursive: true, force: true });
    },
  };
}

function relay(socket: string, { url, rawHeaders }: IncomingMessage, near: Duplex, head: Buffer): void {
  const far = connect(socket);
  const end = (): void => {
    near.destroy();
    far.destroy();
  };
  for (const side of [near, far]) side.on("error", end).on("close", end);
  const pairs = rawHeaders.map((each, index) => (index % 2 === 0 ? `${each}: ` : `${each}\r\n`));
  far.write(`GET ${url} HTTP/1.1\r\n${pairs.join("")}\r\n`);
  far.write(head);
  near.pipe(far).pipe(near);
}
