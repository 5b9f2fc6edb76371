/**
 * Tokens of the listener. A token is `thaw_<id>_<secret>`: the file has the secret's digest only. A secret has 256 random bits, so that a plain
 * digest is enough.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
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

const stored = token.omit({ lastUsedAt: true }).extend({ digest: z.string().length(64) });
const tokensKind = recordKind("list of tokens", z.object({ tokens: z.array(stored) }));

type Stored = z.infer<typeof stored>;

export class Tokens {
  readonly #path: string;
  readonly #byId = new Map<string, Stored>();
  readonly #usedAt = new Map<string, number>();
  readonly #listeners = new Set<(id: string) => void>();
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

  /** Calls back when a token is revoked: what it opened ends. @returns how to stop that */
  onEnd(listener: (id: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  list(): Token[] {
    this.#forgetExpired();
    return [...this.#byId.values()].map((one) => this.#shown(one));
  }

  /** @returns the token, and its text, which is told only now. Throws `conflict` for a name that is taken. */
  async create({ name, rights, ttlMs }: TokenRequest): Promise<[Token, string]> {
    this.#forgetExpired();
    if (this.#find(name) !== undefined)
      throw new EngineError("conflict", `there is a token ${name}`, { hint: `thaw token rm ${name}` });
    if (this.#byId.size >= MAX_TOKENS)
      throw new EngineError("no-capacity", `there are ${MAX_TOKENS} tokens`, {
        hint: "thaw token ls; thaw token rm",
      });
    const id = randomId();
    const secret = randomBytes(SECRET_BYTES).toString("base64url");
    const now = Date.now();
    const one: Stored = {
      ...{ id, name, rights, digest: sha256(secret) },
      createdAt: new Date(now).toISOString(),
      expiresAt: ttlMs === undefined ? null : new Date(now + ttlMs).toISOString(),
    };
    await this.#change(() => this.#byId.set(id, one));
    return [this.#shown(one), `thaw_${id}_${secret}`];
  }

  /** By name or id. Throws `not-found`. */
  async revoke(reference: string): Promise<Token> {
    const one = this.#byId.get(reference) ?? this.#find(reference);
    if (one === undefined)
      throw new EngineError("not-found", `no token ${reference}`, { hint: "thaw token ls" });
    await this.#change(() => this.#byId.delete(one.id));
    for (const listener of this.#listeners) listener(one.id);
    return this.#shown(one);
  }

  /** Whose text it is; null: nobody's, or not any more. */
  check(text: string): Token | null {
    const [, id = "", secret = ""] = TEXT.exec(text) ?? [];
    const one = this.#byId.get(id);
    if (one === undefined || isExpired(one)) return null;
    if (!timingSafeEqual(Buffer.from(sha256(secret)), Buffer.from(one.digest))) return null;
    this.#usedAt.set(id, Date.now());
    return this.#shown(one);
  }

  #find(name: string): Stored | undefined {
    return [...this.#byId.values()].find((one) => one.name === name);
  }

  #shown({ digest: _, ...one }: Stored): Token {
    const usedAt = this.#usedAt.get(one.id);
    const minute = usedAt === undefined ? null : new Date(usedAt - (usedAt % USE_MS)).toISOString();
    return { ...one, lastUsedAt: minute };
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
      change();
      try {
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
  token: Pick<Token, "id" | "name" | "expiresAt">;
  rights: Rights;
}
