/**
 * A local server of a runner's artifacts, as `@actions/artifact` speaks with it: the results service (twirp over JSON) that gives an address for the
 * upload, and the storage behind it, which takes Azure's block blobs and gives them back. A test expects no violations.
 */
import { createHash, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface StoredArtifact {
  id: number;
  name: string;
  content: Buffer;
  /** ISO 8601; undefined: as the repository says. */
  expiresAt: string | undefined;
}

const SERVICE = "/twirp/github.actions.results.api.v1.ArtifactService/";

interface Upload {
  name: string;
  expiresAt: string | undefined;
  blocks: Map<string, Buffer>;
  content: Buffer | undefined;
}

export class ArtifactService {
  readonly stored: StoredArtifact[] = [];
  /** What neither service would take. */
  readonly violations: string[] = [];
  /** Whether blocks are taken; else an upload never ends. */
  takesBlocks = true;
  url = "";
  readonly #server: Server;
  /** Of the job. */
  readonly #token: string;
  readonly #uploads = new Map<string, Upload>();
  readonly #signature = randomUUID();

  private constructor(token: string) {
    this.#token = token;
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        // whoever leaves in the middle asked for nothing
        if (!request.complete) return;
        this.violations.push(String(error));
        response.writeHead(500).end();
      });
    });
  }

  /** @param token the job's runtime token */
  static async start(token: string): Promise<ArtifactService> {
    const service = new ArtifactService(token);
    await new Promise<void>((resolve) => service.#server.listen(0, "127.0.0.1", resolve));
    service.url = `http://127.0.0.1:${(service.#server.address() as AddressInfo).port}`;
    return service;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Where the storage gives an artifact to whoever has the address. */
  downloadUrl({ id }: Pick<StoredArtifact, "id">): string {
    return `${this.url}/download/${id}?sig=${this.#signature}`;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.url);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    if (url.pathname.startsWith(SERVICE)) return this.#answer(request, response, url, body);
    if (request.headers.authorization !== undefined) this.violations.push("a token was sent to the storage");
    if (url.searchParams.get("sig") !== this.#signature) return void response.writeHead(403).end();
    if (request.method === "GET") return this.#give(response, url);
    return this.#store(request, response, url, body);
  }

  #answer(request: IncomingMessage, response: ServerResponse, url: URL, body: Buffer): void {
    const reply = (status: number, answer: object): void => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
    };
    if (request.headers.authorization !== `Bearer ${this.#token}`)
      return reply(401, { code: "unauthenticated", msg: "bad token" });
    const asked = JSON.parse(body.toString()) as Record<string, unknown>;
    const [, run = "", job = ""] = /Actions\.Results:([^:]+):([^: ]+)/.exec(scopeOf(this.#token)) ?? [];
    if (asked.workflow_run_backend_id !== run || asked.workflow_job_run_backend_id !== job)
      this.violations.push(`not this job: ${JSON.stringify(asked)}`);
    const name = String(asked.name);
    const method = url.pathname.slice(SERVICE.length);
    if (method === "CreateArtifact") {
      if (asked.version !== 7) this.violations.push(`version ${asked.version}`);
      if (this.#uploads.has(name))
        return reply(409, { code: "already_exists", msg: "an artifact has that name" });
      const expiresAt = asked.expires_at === undefined ? undefined : String(asked.expires_at);
      this.#uploads.set(name, { name, expiresAt, blocks: new Map(), content: undefined });
      return reply(200, { ok: true, signed_upload_url: `${this.url}/upload/${name}?sig=${this.#signature}` });
    }
    const content = this.#uploads.get(name)?.content;
    if (method !== "FinalizeArtifact" || content === undefined)
      return reply(404, { code: "bad_route", msg: method });
    const hash = `sha256:${createHash("sha256").update(content).digest("hex")}`;
    if (asked.size !== String(content.length) || asked.hash !== hash)
      this.violations.push(`finalized as ${asked.size} ${asked.hash}, stored ${content.length} ${hash}`);
    const id = this.stored.length + 1;
    this.stored.push({ id, name, content, expiresAt: this.#uploads.get(name)?.expiresAt });
    return reply(200, { ok: true, artifact_id: String(id) });
  }

  /** Put Block, and Put Block List: https://learn.microsoft.com/rest/api/storageservices/put-block-list */
  #store(request: IncomingMessage, response: ServerResponse, url: URL, body: Buffer): void {
    const upload = this.#uploads.get(url.pathname.slice("/upload/".length));
    const operation = url.searchParams.get("comp");
    if (upload === undefined || request.method !== "PUT" || request.headers["x-ms-version"] === undefined)
      return void response.writeHead(400).end();
    const done = (): void => {
      const headers = {
        etag: '"1"',
        "last-modified": new Date().toUTCString(),
        "x-ms-request-id": randomUUID(),
      };
      response.writeHead(201, headers).end();
    };
    if (operation === "block") {
      if (!this.takesBlocks) return;
      upload.blocks.set(url.searchParams.get("blockid") ?? "", body);
      return done();
    }
    if (operation !== "blocklist") {
      this.violations.push(`comp=${operation}`);
      return void response.writeHead(400).end();
    }
    const ids = [...body.toString().matchAll(/<Latest>([^<]+)<\/Latest>/g)].map(([, id = ""]) => id);
    upload.content = Buffer.concat(ids.map((id) => upload.blocks.get(id) ?? Buffer.from("missing")));
    done();
  }

  #give(response: ServerResponse, url: URL): void {
    const found = this.stored.find(({ id }) => url.pathname === `/download/${id}`);
    if (found === undefined) return void response.writeHead(404).end();
    response.writeHead(200, { "content-type": "application/octet-stream" }).end(found.content);
  }
}

function scopeOf(token: string): string {
  const [, payload = ""] = token.split(".");
  return String(JSON.parse(Buffer.from(payload, "base64url").toString()).scp);
}
