/**
 * Tokens and sessions of the listener. Each is `thaw_<id>_<secret>`: the file has the secret's digest only. A secret has 256 random bits, so that a
 * plain digest is enough. A session is a token that only a cookie carries; it ends with what it was made with.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import type { Duplex } from "node:stream";
import { z } from "zod";
import { type Rights, type Token, type TokenRequest, token } from "../../api/token.ts";
import { sha256 } from "../../durable/digest.ts";
import { EngineError } from "../../engine/errors.ts";
import { randomId } from "../../engine/ids.ts";
import { readRecordNow, recordKind, type Unreadable, writeRecord } from "../../engine/state/record.ts";

const SECRET_BYTES = 32;
const TEXT = /^thaw_([a-z0-9]{1,32})_([A-Za-z0-9_-]{43})$/;
/** How exact the time of the last use is. */
const USE_MS = 60_000;
/** More are not meant: something makes them in a loop. */
const MAX_TOKENS = 1_000;
/** Of one token, or of the socket: the oldest ends. */
const MAX_SESSIONS = 50;

const stored = token.omit({ lastUsedAt: true }).extend({
  digest: z.string().length(64),
  kind: token.shape.kind.default("token"),
  /** By id. */
  parent: z.string().nullable().default(null),
});
const tokensKind = recordKind("list of tokens", z.object({ tokens: z.array(stored) }));

type Stored = z.infer<typeof stored>;
type Kind = Token["kind"];
/** @param spare a connection that may still tell its client */
type EndListener = (id: string, spare: Duplex | undefined) => void;

export class Tokens {
  readonly #path: string;
  readonly #byId = new Map<string, Stored>();
  readonly #usedAt = new Map<string, number>();
  readonly #listeners = new Set<EndListener>();
  #unreadable: Unreadable | null = null;
  #writing: Promise<void> = Promise.resolve();

  /** A list that can't be read lets nobody in, and stays as it is. */
  constructor(path: string) {
    this.#path = path;
    const read = readRecordNow(path, tokensKind);
    if (read.state === "unreadable") this.#unreadable = read;
    else if (read.state === "ok") for (const one of read.value.tokens) this.#byId.set(one.id, one);
  }

  /** Why nobody is let in; null: the list could be read. */
  get fault(): string | null {
    return this.#unreadable === null ? null : `${this.#path} ${this.#unreadable.reason}`;
  }

  /** Calls back when a token or session is revoked: what it opened ends. @returns how to stop that */
  onEnd(listener: EndListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  list(): Token[] {
    this.#forgetExpired();
    return [...this.#byId.values()].map((one) => this.#shown(one));
  }

  get hasSessions(): boolean {
    return [...this.#byId.values()].some((one) => one.kind === "session" && !isExpired(one));
  }

  /** @returns the token, and its text, which is told only now. Throws `conflict` for a name that is taken. */
  async create({ name, rights, ttlMs }: TokenRequest): Promise<[Token, string]> {
    this.#forgetExpired();
    if (this.#find(name) !== undefined)
      throw new EngineError("conflict", `there is a token ${name}`, { hint: `thaw token rm ${name}` });
    const expiresAt = ttlMs === undefined ? null : Date.now() + ttlMs;
    return this.#add({ id: randomId(), name, rights, expiresAt, kind: "token", parent: null });
  }

  /**
   * @param parent id of what it is made with; it ends no later. Null: it is made by a user of the socket
   * @returns the session, and its text, which is told only now. Throws `not-authenticated` when the parent has ended.
   */
  async openSession({
    rights,
    ttlMs,
    parent,
  }: {
    rights: Rights;
    ttlMs: number;
    parent: string | null;
  }): Promise<[Token, string]> {
    this.#forgetExpired();
    const by = parent === null ? null : this.#byId.get(parent);
    if (by === undefined)
      throw new EngineError("not-authenticated", "what the session was to be made with has ended");
    const sameParent = [...this.#byId.values()].filter(
      (one) => one.kind === "session" && one.parent === parent,
    );
    for (const oldest of sameParent.slice(0, Math.max(0, sameParent.length - MAX_SESSIONS + 1)))
      await this.revoke(oldest.id);
    const id = randomId();
    const ends = [Date.now() + ttlMs, ...(by?.expiresAt ? [Date.parse(by.expiresAt)] : [])];
    const expiresAt = Math.min(...ends);
    return this.#add({ id, name: `session-${id}`, rights, expiresAt, kind: "session", parent });
  }

  /** By name or id; what was made with it ends as well. @param spare a connection that stays open. Throws `not-found`. */
  async revoke(reference: string, spare?: Duplex): Promise<Token> {
    const one = this.#byId.get(reference) ?? this.#find(reference);
    if (one === undefined)
      throw new EngineError("not-found", `no token ${reference}`, { hint: "thaw token ls" });
    const shown = this.#shown(one);
    const ended = new Set<string>();
    await this.#change(() => {
      for (const id of this.#withChildren(one.id)) {
        this.#byId.delete(id);
        ended.add(id);
      }
    });
    for (const id of ended) for (const listener of this.#listeners) listener(id, spare);
    return shown;
  }

  /** Whose text it is; null: nobody's, or not any more. */
  check(text: string, kind: Kind): Token | null {
    const [, id = "", secret = ""] = TEXT.exec(text) ?? [];
    const one = this.#byId.get(id);
    if (one === undefined || one.kind !== kind || isExpired(one)) return null;
    if (!timingSafeEqual(Buffer.from(sha256(secret)), Buffer.from(one.digest))) return null;
    this.#usedAt.set(id, Date.now());
    return this.#shown(one);
  }

  /** Whether a token or session has not ended. */
  isValid(id: string): boolean {
    const one = this.#byId.get(id);
    return one !== undefined && !isExpired(one);
  }

  async #add({
    expiresAt,
    ...about
  }: Pick<Stored, "id" | "name" | "rights" | "kind" | "parent"> & { expiresAt: number | null }): Promise<
    [Token, string]
  > {
    if (this.#byId.size >= MAX_TOKENS)
      throw new EngineError("no-capacity", `there are ${MAX_TOKENS} tokens`, {
        hint: "thaw token ls; thaw token rm",
      });
    const secret = randomBytes(SECRET_BYTES).toString("base64url");
    const one: Stored = {
      ...about,
      digest: sha256(secret),
      createdAt: new Date().toISOString(),
      expiresAt: expiresAt === null ? null : new Date(expiresAt).toISOString(),
    };
    await this.#change(() => {
      if (one.parent !== null && !this.#byId.has(one.parent))
        throw new EngineError("not-authenticated", "what the session was to be made with has ended");
      this.#byId.set(one.id, one);
    });
    return [this.#shown(one), `thaw_${one.id}_${secret}`];
  }

  #withChildren(id: string): string[] {
    const children = [...this.#byId.values()].filter(({ parent }) => parent === id);
    return [id, ...children.flatMap((child) => this.#withChildren(child.id))];
  }

  #find(name: string): Stored | undefined {
    return [...this.#byId.values()].find((one) => one.name === name);
  }

  #shown({ digest: _, parent, ...one }: Stored): Token {
    const usedAt = this.#usedAt.get(one.id);
    const minute = usedAt === undefined ? null : new Date(usedAt - (usedAt % USE_MS)).toISOString();
    const parentName = parent === null ? null : (this.#byId.get(parent)?.name ?? parent);
    return { ...one, parent: parentName, lastUsedAt: minute };
  }

  #forgetExpired(): void {
    for (const one of this.#byId.values())
      if (isExpired(one)) {
        this.#byId.delete(one.id);
        this.#usedAt.delete(one.id);
      }
  }

  /** Changes are written one after the other; one that can't be written is taken back. */
  async #change(change: () => void): Promise<void> {
    const done = this.#writing.then(async () => {
      if (this.#unreadable !== null)
        throw new EngineError("host-not-ready", `tokens can't be changed: ${this.fault}`, {
          hint: "mend the file, or remove it: every token ends; then: thaw daemon stop",
        });
      const before = new Map(this.#byId);
      try {
        change();
        await writeRecord(
          this.#path,
          tokensKind,
          { tokens: [...this.#byId.values()] },
          { mode: 0o600, survives: "power-loss" },
        );
      } catch (error) {
        this.#byId.clear();
        for (const [id, one] of before) this.#byId.set(id, one);
        throw error;
      }
    });
    this.#writing = done.catch(() => {});
    await done;
  }
}

function isExpired({ expiresAt }: Stored): boolean {
  return expiresAt !== null && Date.parse(expiresAt) <= Date.now();
}

/** What somebody at the listener may do. */
export interface Access {
  /** Null: who asks is not known. */
  token: Token | null;
  rights: Rights | "none";
  /** The page's origin, if the request is the page's own; null: it is another client's. */
  page: string | null;
}
