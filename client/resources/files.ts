import { defined } from "../../api/defined.ts";
import type { FileEntry, FolderListing } from "../../api/schema.ts";
import { type ApiCalls, type ByteSource, type CallOptions, withQuery } from "../api-calls.ts";
import { joinBytes } from "../join-bytes.ts";
import type { RequestBody } from "../transport.ts";

/** Owner of what is written: `NAME`, `UID`, `NAME:GROUP` or `UID:GID`. */
export interface WriteOptions extends CallOptions {
  user?: string | undefined;
  /** Permission bits; default 0644 for a new file. */
  mode?: number | undefined;
}

export interface TreeOptions extends CallOptions {
  user?: string | undefined;
  /** The tree is a command's workspace: it is stored with the capture of a failure. */
  keep?: boolean;
}

/** Files of a sandbox, or of a captured machine. Paths are absolute. Contents and names are the guest's: don't trust them. */
export class GuestFiles {
  protected readonly api: ApiCalls;
  protected readonly base: string;
  readonly #deadline: { answerDeadlineMs?: number };

  /** @param base path of the API that the files are beneath */
  constructor(api: ApiCalls, base: string, answerDeadlineMs?: number) {
    this.api = api;
    this.base = base;
    this.#deadline = defined({ answerDeadlineMs });
  }

  /** Describes a file. A link is not followed. @throws ThawError `not-found` */
  stat(path: string, options?: CallOptions): Promise<FileEntry> {
    return this.api.json(this.#get("/stat", { path }, options));
  }

  /** Reads a file, chunk by chunk. */
  read(path: string, options?: CallOptions): AsyncGenerator<Uint8Array, void> {
    return this.api.sameBytes(this.#get("/files", { path }, options));
  }

  /** Reads a whole file into memory. */
  async readAll(path: string, options?: CallOptions): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.read(path, options)) chunks.push(chunk);
    return joinBytes(chunks);
  }

  /** Reads a whole file as UTF-8. */
  async readText(path: string, options?: CallOptions): Promise<string> {
    return new TextDecoder().decode(await this.readAll(path, options));
  }

  /**
   * Reads a file or folder as a tree stream. Unpack it with `unpackTree` only.
   * @throws ThawError `daemon-unreachable` when the connection breaks: the tree is begun anew then
   */
  tree(path: string, options?: CallOptions): AsyncGenerator<Uint8Array, void> {
    return this.api.bytes(this.#get("/tree", { path, attributes: "1" }, options));
  }

  #get(what: string, query: Record<string, string>, options: CallOptions = {}) {
    const path = withQuery(this.base + what, query);
    return { method: "GET", path, ...this.#deadline, ...options } as const;
  }
}

/** Files of a sandbox. */
export class Files extends GuestFiles {
  /** Writes a file. */
  write(
    path: string,
    content: string | Uint8Array | Blob | ByteSource,
    options: WriteOptions = {},
  ): Promise<void> {
    const { mode, user, ...call } = options;
    const octal = mode?.toString(8).padStart(3, "0");
    const url = withQuery(`${this.base}/files`, { path, mode: octal, user });
    const how = { method: "PUT", path: url, answerDeadlineMs: 0 } as const;
    return this.api.nothing({ ...how, stream: sourceOf(content), ...call });
  }

  /** Lists a folder. */
  list(path: string, options?: CallOptions): Promise<FolderListing> {
    return this.api.json({ method: "GET", path: withQuery(`${this.base}/list`, { path }), ...options });
  }

  /** Unpacks a tree stream (`packTree`) beneath a folder, made when absent. */
  writeTree(
    path: string,
    tree: ByteSource,
    options: TreeOptions = {},
  ): Promise<{ entries: number; bytes: number }> {
    const { user, keep, ...call } = options;
    const url = withQuery(`${this.base}/tree`, { path, user, keep: keep === true ? "1" : undefined });
    return this.api.json({ method: "PUT", path: url, stream: tree, answerDeadlineMs: 0, ...call });
  }
}

function sourceOf(content: string | Uint8Array | Blob | ByteSource): RequestBody {
  if (typeof content === "function" || (typeof content === "object" && "stream" in content)) return content;
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  return async function* () {
    yield bytes;
  };
}
