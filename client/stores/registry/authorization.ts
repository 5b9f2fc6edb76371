/** Answers a registry's challenges: Basic, or a token of the service that it names. */
import { type Dispatcher, request } from "undici";
import { ThawError } from "../../errors.ts";
import { readText } from "./body.ts";
import type { Challenge } from "./challenge.ts";
import { type Credentials, findCredentials } from "./credentials.ts";
import { isPassingStatus, PassingError, parseRetryAfter, waitToRetry } from "./retry.ts";

const MAX_TOKEN_BYTES = 65_536;
/** By the token specification, where the service does not say. */
const DEFAULT_LIFE_SECONDS = 60;
/** A token is asked for anew before it ends, not after. */
const USED_SHARE = 0.8;

interface Place {
  /** As people write it. */
  name: string;
  registry: string;
  repository: string;
  origin: string;
  dispatcher: Dispatcher;
  /** Used instead of the credentials that the user's files keep for the registry. */
  credentials?: Credentials | undefined;
  broken(error: unknown, what: string): ThawError;
}

interface Held {
  header: string;
  /** By `performance.now()`. */
  untilMs: number;
}

export class Authorization {
  readonly #place: Place;
  #credentials: Promise<Credentials | null> | undefined;
  readonly #held = new Map<"pull" | "push", Held>();

  constructor(place: Place) {
    this.#place = place;
  }

  /** The header for the registry itself; undefined until it was challenged. Whoever may push may pull. */
  current(push: boolean): string | undefined {
    const fresh = (key: "pull" | "push"): string | undefined => {
      const held = this.#held.get(key);
      return held !== undefined && performance.now() < held.untilMs ? held.header : undefined;
    };
    return fresh("push") ?? (push ? undefined : fresh("pull"));
  }

  /** @throws ThawError `store-denied` when none of the challenges can be answered; `store-unreachable`. */
  async answer(
    challenges: readonly Challenge[],
    { push, signal }: { push: boolean; signal: AbortSignal },
  ): Promise<void> {
    const before = this.current(push);
    this.#held.clear();
    const { registry, repository, credentials: given } = this.#place;
    this.#credentials ??= given ? Promise.resolve(given) : findCredentials(registry, repository);
    const credentials = await this.#credentials;
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    const basic = basicOf(credentials);
    let held: Held | null = null;
    if (credentials?.registryToken !== undefined) held = lasting(`Bearer ${credentials.registryToken}`);
    else if (bearer !== undefined)
      held = await this.#fetchToken(bearer, { push, signal, credentials, basic });
    else if (challenges.some(({ scheme }) => scheme === "basic") && basic !== null) held = lasting(basic);
    if (held === null) throw this.denied("asks for a user and password", push);
    if (held.untilMs === Number.POSITIVE_INFINITY && held.header === before)
      throw this.denied("does not accept the user and password", push);
    this.#held.set(push ? "push" : "pull", held);
  }

  denied(how: string, push: boolean): ThawError {
    const { name, registry } = this.#place;
    return new ThawError("store-denied", `${name} ${how}: it does not let you ${push ? "push" : "pull"}`, {
      hint: `thaw login ${registry}`,
    });
  }

  /** distribution's token protocol; with an identity token, OAuth2's. */
  async #fetchToken(
    { parameters }: Challenge,
    about: { push: boolean; signal: AbortSignal; credentials: Credentials | null; basic: string | null },
  ): Promise<Held> {
    const { push, signal, credentials, basic } = about;
    const url = this.#realm(parameters.realm ?? "");
    const query = new URLSearchParams();
    if (parameters.service !== undefined) query.set("service", parameters.service);
    for (const scope of this.#scopes(parameters.scope, push)) query.append("scope", scope);
    const refresh = credentials?.identityToken;
    const headers: Record<string, string> = { "user-agent": "thaw" };
    let body: string | null = null;
    if (refresh === undefined) {
      for (const [name, value] of query) url.searchParams.append(name, value);
      if (basic !== null) headers.authorization = basic;
    } else {
      headers["content-type"] = "application/x-www-form-urlencoded";
      query.set("grant_type", "refresh_token");
      query.set("client_id", "thaw");
      query.set("refresh_token", refresh);
      body = query.toString();
    }
    const asked = {
      method: refresh === undefined ? ("GET" as const) : ("POST" as const),
      headers,
      body,
      signal,
    };
    for (let tries = 1; ; tries++) {
      try {
        return await this.#askForToken(url, asked, push);
      } catch (error) {
        await waitToRetry(error, tries, signal);
      }
    }
  }

  async #askForToken(
    url: URL,
    asked: {
      method: "GET" | "POST";
      headers: Record<string, string>;
      body: string | null;
      signal: AbortSignal;
    },
    push: boolean,
  ): Promise<Held> {
    const { name, dispatcher, broken } = this.#place;
    const told = await request(url, { ...asked, dispatcher })
      .then(async (answer) => ({ answer, text: await readText(answer, MAX_TOKEN_BYTES) }))
      .catch((error: unknown) => {
        asked.signal.throwIfAborted();
        throw broken(error, "its token service can't be asked");
      });
    const { statusCode, headers } = told.answer;
    if (isPassingStatus(statusCode)) {
      const retryAfterMs = parseRetryAfter(headers["retry-after"], Date.now());
      throw new PassingError(`${name}: ${url.origin} answers ${statusCode} when asked for a token`, {
        retryAfterMs,
      });
    }
    if (statusCode !== 200) throw this.denied(`gets no token from ${url.origin} (${statusCode})`, push);
    const { token, seconds } = readToken(told.text);
    if (token === undefined) throw new ThawError("store-denied", `${name}: ${url.origin} sent no token`);
    return { header: `Bearer ${token}`, untilMs: performance.now() + seconds * 1000 * USED_SHARE };
  }

  #realm(realm: string): URL {
    const { name, origin } = this.#place;
    let url: URL;
    try {
      url = new URL(realm, origin);
    } catch {
      throw new ThawError("store-denied", `${name} names a token service that is not a URL`);
    }
    if (url.protocol !== "https:" && !(origin.startsWith("http:") && url.protocol === "http:"))
      throw new ThawError(
        "store-denied",
        `${name} asks for credentials at ${url.origin}, which is not https`,
      );
    return url;
  }

  /** Ours, and the registry's own where it calls the repository by another name. */
  #scopes(theirs: string | undefined, push: boolean): string[] {
    // To ask for nothing tells whether the user and the password are right.
    if (this.#place.repository === "") return [];
    const own = `repository:${this.#place.repository}`;
    const others = (theirs ?? "").split(" ").filter((scope) => scope !== "" && !scope.startsWith(`${own}:`));
    return [`${own}:${push ? "pull,push" : "pull"}`, ...others.slice(0, 8)];
  }
}

function basicOf(credentials: Credentials | null): string | null {
  if (credentials === null || credentials.username === "") return null;
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
}

function lasting(header: string): Held {
  return { header, untilMs: Number.POSITIVE_INFINITY };
}

function readToken(text: string): { token: string | undefined; seconds: number } {
  let value: Record<string, unknown> = {};
  try {
    value = (JSON.parse(text) ?? {}) as typeof value;
  } catch {
    // there is none in it
  }
  const fits = (one: unknown): one is string => typeof one === "string" && /^[\x21-\x7e]+$/.test(one);
  const { expires_in: seconds } = value;
  return {
    token: [value.token, value.access_token].find(fits),
    seconds: typeof seconds === "number" && seconds > 0 ? seconds : DEFAULT_LIFE_SECONDS,
  };
}
