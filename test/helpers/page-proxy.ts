/** A proxy before the page of a daemon, as people put one there: it passes requests on, and can hold events back, be away, or say that the daemon is another one. */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type Server,
} from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { pipeline } from "node:stream";

export class PageProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #page: URL;
  /** Answers that don't end are not passed on, as by a proxy that collects an answer before it sends it. */
  holdsStreams = false;
  /** Of the daemon, in place of its own. */
  digest: string | undefined;
  #isAway = false;

  private constructor(server: Server, page: URL) {
    this.#server = server;
    this.#page = page;
  }

  /** @param page where the daemon serves its page */
  static async open(page: URL): Promise<PageProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const proxy = new PageProxy(server, page);
    server.on("connection", (socket) => {
      if (proxy.#isAway) socket.destroy();
      proxy.#sockets.add(socket);
      socket.once("close", () => proxy.#sockets.delete(socket));
    });
    server.on("request", (asked, answer) => {
      const upstream = request(proxy.#to(asked), (answered) => {
        const { headers, statusCode = 502 } = answered;
        const isEndless = asked.url?.startsWith("/v1/events") === true;
        if (proxy.holdsStreams && isEndless) return void answered.resume();
        if (proxy.digest !== undefined && asked.url === "/v1/info") return proxy.#asOther(answered, answer);
        answer.writeHead(statusCode, headers);
        // what breaks off behind the proxy breaks off before it
        pipeline(answered, answer, () => {});
      });
      upstream.on("error", () => answer.destroy());
      answer.once("close", () => upstream.destroy());
      asked.pipe(upstream);
    });
    server.on("upgrade", (asked: IncomingMessage, socket: Socket, head: Buffer) => {
      const upstream = connect(Number(page.port), "127.0.0.1", () => {
        const lines = Object.entries(proxy.#headers(asked.headers)).map(
          ([name, value]) => `${name}: ${value}`,
        );
        upstream.write(`GET ${asked.url} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
        upstream.write(head);
        upstream.pipe(socket).pipe(upstream);
      });
      for (const end of [upstream, socket]) end.on("error", () => {});
      upstream.once("close", () => socket.destroy());
      socket.once("close", () => upstream.destroy());
    });
    return proxy;
  }

  get origin(): string {
    return `http://${this.#page.hostname}:${(this.#server.address() as AddressInfo).port}`;
  }

  /** A link of `thaw ui`, by way of the proxy. */
  link(url: string): string {
    return `${this.origin}/${new URL(url).hash}`;
  }

  /** Nobody gets through, and whoever is connected is so no more. */
  goAway(): void {
    this.#isAway = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  comeBack(): void {
    this.#isAway = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.goAway();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #headers(headers: IncomingHttpHeaders): IncomingHttpHeaders {
    const origin = headers.origin === this.origin ? { origin: this.#page.origin } : {};
    return { ...headers, host: this.#page.host, ...origin };
  }

  #to({ url, method, headers }: IncomingMessage) {
    return {
      ...{ host: "127.0.0.1", port: this.#page.port, path: url, method, agent: false as const },
      headers: this.#headers(headers),
    };
  }

  async #asOther(answered: IncomingMessage, answer: import("node:http").ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of answered) chunks.push(chunk as Buffer);
    const info = { ...JSON.parse(Buffer.concat(chunks).toString()), digest: this.digest };
    const { "content-length": _, ...headers } = answered.headers;
    answer.writeHead(200, headers).end(JSON.stringify(info));
  }
}
