/** Git's own HTTP server (git-http-backend) on loopback, with repositories in a folder. It notes what it is asked for, and by whom. */
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Asked {
  method: string;
  path: string;
  authorization: string | undefined;
}

export type Handler = (message: IncomingMessage, response: ServerResponse) => void;

export class GitServer implements AsyncDisposable {
  readonly root = mkdtempSync(join(tmpdir(), "thaw-git-server-"));
  readonly asked: Asked[] = [];
  /** Repositories that want a token, by `OWNER/NAME`. */
  readonly tokens: Record<string, string> = {};
  /** Repositories that answer in a way of their own. */
  readonly handlers: Record<string, Handler> = {};
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((message, response) => this.#serve(message, response));
  }

  static async start(): Promise<GitServer> {
    const server = new GitServer();
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Runs git in a repository, which is made when absent. @returns what it prints, trimmed */
  git(name: string, ...args: string[]): string {
    const folder = this.folderOf(name);
    const identity = ["-c", "user.name=octocat", "-c", "user.email=octocat@example.com"];
    return execFileSync("git", [...identity, ...args], { cwd: folder, encoding: "utf8" }).trim();
  }

  /** Of the repository's files. */
  folderOf(name: string): string {
    const folder = join(this.root, `${name}.git`);
    if (mkdirSync(folder, { recursive: true }) !== undefined)
      execFileSync("git", ["init", "-q", "-b", "main"], { cwd: folder });
    return folder;
  }

  #serve(message: IncomingMessage, response: ServerResponse): void {
    const { method = "", url = "", headers } = message;
    this.asked.push({ method, path: url, authorization: headers.authorization });
    const name = /^\/([^/]+\/[^/]+)\.git\//.exec(url)?.[1] ?? "";
    const own = this.handlers[name];
    if (own !== undefined) return own(message, response);
    const token = this.tokens[name];
    const sent = Buffer.from(headers.authorization?.replace(/^Basic /, "") ?? "", "base64").toString();
    if (token !== undefined && sent !== `x-access-token:${token}`)
      return void response.writeHead(401, { "www-authenticate": "Basic" }).end();
    runBackend(this.root, message, response);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** The common gateway interface, RFC 3875: headers, an empty line, the body. */
function runBackend(root: string, message: IncomingMessage, response: ServerResponse): void {
  const { pathname, search } = new URL(message.url ?? "/", "http://localhost");
  const backend = spawn("git", ["http-backend"], {
    env: {
      ...{ PATH: process.env.PATH, GIT_PROJECT_ROOT: root, GIT_HTTP_EXPORT_ALL: "1" },
      ...{ PATH_INFO: pathname, QUERY_STRING: search.slice(1), REQUEST_METHOD: message.method },
      ...{ CONTENT_TYPE: message.headers["content-type"] ?? "" },
      ...{ CONTENT_LENGTH: message.headers["content-length"] ?? "" },
      ...{ GIT_PROTOCOL: String(message.headers["git-protocol"] ?? ""), REMOTE_ADDR: "127.0.0.1" },
      ...{ GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "safe.directory", GIT_CONFIG_VALUE_0: "*" },
    },
    stdio: ["pipe", "pipe", "ignore"],
  });
  message.pipe(backend.stdin);
  backend.stdin.on("error", () => {});
  response.on("close", () => backend.kill());
  let head = "";
  const read = (chunk: Buffer): void => {
    head += chunk.toString("latin1");
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return;
    backend.stdout.off("data", read);
    const lines = head.slice(0, end).split("\r\n");
    for (const line of lines) {
      const [, name = "", value = ""] = /^([^:]+): (.*)$/.exec(line) ?? [];
      if (name.toLowerCase() === "status") response.statusCode = Number.parseInt(value, 10);
      else response.setHeader(name, value);
    }
    response.write(Buffer.from(head.slice(end + 4), "latin1"));
    backend.stdout.pipe(response);
  };
  backend.stdout.on("data", read);
}
