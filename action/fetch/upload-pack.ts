/** The client's side of git-upload-pack, protocol version 2, gitprotocol-v2(5): references by name, one commit as a pack. */
import { ThawError } from "../../client/index.ts";
import { DELIMITER, encodeLine, FLUSH, type Packet, readPackets, textOf } from "./pkt-line.ts";
import type { RepositoryHttp } from "./repository-http.ts";

/** Capabilities, and references whose names begin with one of two texts. */
const MAX_TEXT_BYTES = 8 << 20;
const MAX_NAME_CHARS = 255;
/** A commit has one parent mostly, and octopus merges have few. */
const MAX_SHALLOW = 64;
const OBJECT_ID = /^([0-9a-f]{40}|[0-9a-f]{64})$/;

export type ObjectFormat = "sha1" | "sha256";

export interface Reference {
  name: string;
  /** What it leads to; of an annotated tag, what that leads to. */
  commit: string;
  /** Of a symbolic one such as HEAD: the name that it stands for. */
  target: string | undefined;
}

/** A commit without its history. */
export interface Pack {
  /** Commits whose parents are left out. */
  shallow: readonly string[];
  /** To be read to its end. */
  data: AsyncIterable<Uint8Array>;
}

export class UploadPack {
  readonly format: ObjectFormat;
  readonly #http: RepositoryHttp;
  readonly #signal: AbortSignal;
  /** What every command says of this client: of capabilities that the server has told, as it refuses others. */
  readonly #about: readonly string[];

  private constructor(http: RepositoryHttp, capabilities: ReadonlyMap<string, string>, signal: AbortSignal) {
    this.#http = http;
    this.#signal = signal;
    this.format = capabilities.get("object-format") === "sha256" ? "sha256" : "sha1";
    this.#about = [
      ...(capabilities.has("agent") ? ["agent=thaw"] : []),
      ...(capabilities.has("object-format") ? [`object-format=${this.format}`] : []),
    ];
  }

  /** Asks what the server can do. @throws ThawError as RepositoryHttp; `unsupported` for an old server */
  static async open(http: RepositoryHttp, signal: AbortSignal): Promise<UploadPack> {
    const lines: string[] = [];
    const answer = http.ask("advertisement", { maxBytes: MAX_TEXT_BYTES, signal });
    for await (const packet of readPackets(answer))
      if (typeof packet !== "string") lines.push(textOf(packet));
    const capabilities = new Map(
      lines.map((line): [string, string] => {
        const [name = "", value = ""] = line.split(/=(.*)/s);
        return [name, value];
      }),
    );
    const commands = capabilities.get("fetch")?.split(" ") ?? [];
    const format = capabilities.get("object-format") ?? "sha1";
    const knows =
      capabilities.has("version 2") && capabilities.has("ls-refs") && commands.includes("shallow");
    if (!knows || (format !== "sha1" && format !== "sha256"))
      throw new ThawError("unsupported", `${http.name} does not support version 2 of git's protocol`, {
        hint: "GitHub and git servers since git 2.18 support it",
      });
    return new UploadPack(http, capabilities, signal);
  }

  /** Those of the references that there are. */
  async find(names: readonly string[]): Promise<Reference[]> {
    const body = this.#command("ls-refs", ["peel", "symrefs", ...names.map((name) => `ref-prefix ${name}`)]);
    const found: Reference[] = [];
    for await (const packet of this.#ask(body, MAX_TEXT_BYTES)) {
      if (packet === "flush") break;
      if (packet === "delimiter") throw this.#broken("a reference list with extra data");
      const [id = "", name = "", ...attributes] = textOf(packet).split(" ");
      const attribute = (key: string): string | undefined =>
        attributes.find((text) => text.startsWith(`${key}:`))?.slice(key.length + 1);
      const commit = attribute("peeled") ?? id;
      if (!OBJECT_ID.test(commit) || name === "") throw this.#broken("a reference without an object id");
      const target = attribute("symref-target")?.slice(0, MAX_NAME_CHARS);
      if (names.includes(name)) found.push({ name, commit, target });
    }
    return found;
  }

  /** Asks for a commit and its files, without its history. */
  async fetch(commit: string, { maxBytes }: { maxBytes: number }): Promise<Pack> {
    const wanted = ["ofs-delta", "no-progress", "deepen 1", `want ${commit}`, "done"];
    const packets = this.#ask(this.#command("fetch", wanted), maxBytes);
    const shallow: string[] = [];
    let section = "";
    for (;;) {
      const { value: packet, done } = await packets.next();
      if (done === true || packet === "flush") throw this.#broken("no packfile");
      if (packet === "delimiter") {
        section = "";
        continue;
      }
      const line = textOf(packet);
      if (section === "") {
        section = line;
        if (section === "packfile") return { shallow, data: this.#demultiplex(packets) };
        continue;
      }
      const [word, id = ""] = line.split(" ");
      if (
        section !== "shallow-info" ||
        word !== "shallow" ||
        !OBJECT_ID.test(id) ||
        shallow.length >= MAX_SHALLOW
      )
        throw this.#broken("an unexpected section");
      shallow.push(id);
    }
  }

  /** Channel 1 is the pack, 2 progress, 3 the server's last words. */
  async *#demultiplex(packets: AsyncGenerator<Packet, void>): AsyncGenerator<Uint8Array, void> {
    for await (const packet of packets) {
      if (packet === "flush") return;
      if (packet === "delimiter") throw this.#broken("a section after the packfile");
      if (packet[0] === 1) yield packet.subarray(1);
      else if (packet[0] === 3) throw this.#said(textOf(packet.subarray(1)));
      else if (packet[0] !== 2) throw this.#broken("an unknown sideband channel");
    }
    throw this.#broken("the packfile is incomplete");
  }

  async *#ask(body: string, maxBytes: number): AsyncGenerator<Packet, void> {
    const answer = this.#http.ask("result", { body, maxBytes, signal: this.#signal });
    for await (const packet of readPackets(answer)) {
      if (typeof packet !== "string" && packet.subarray(0, 4).equals(ERROR))
        throw this.#said(textOf(packet.subarray(4)));
      yield packet;
    }
  }

  #command(name: string, lines: readonly string[]): string {
    const head = [`command=${name}`, ...this.#about];
    return `${head.map(encodeLine).join("")}${DELIMITER}${lines.map(encodeLine).join("")}${FLUSH}`;
  }

  #said(text: string): ThawError {
    const isMissing = /not our ref|no such remote ref|unknown revision|bad object/i.test(text);
    return new ThawError(
      isMissing ? "not-found" : "store-unreachable",
      `${this.#http.name} says: ${this.#http.show(text)}`,
      {
        hint: isMissing ? "is the commit pushed to this repository?" : "run the job again",
      },
    );
  }

  #broken(what: string): ThawError {
    return new ThawError("store-corrupt", `${this.#http.name} sent an invalid git response: ${what}`);
  }
}

const ERROR = Buffer.from("ERR ");
