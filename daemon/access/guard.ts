/**
 * What a request at the listener has to be before anything of it is read: for this host, from no other site, of somebody with rights. Requests at
 * the socket have all rights: the file system lets in only who may.
 *
 * A token is sent by a client on purpose. A session's cookie is sent by the browser, whoever caused the request: it counts only where the browser
 * says that the page itself did.
 */
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Rights, Token } from "../../api/token.ts";
import { EngineError } from "../../engine/errors.ts";
import { allows } from "./rights.ts";
import { sessionsIn } from "./session-cookie.ts";
import { type ApiListen, pageOriginOf } from "./settings.ts";
import type { Access, Tokens } from "./tokens.ts";

/** Types of bodies that a form of another site can't send. */
const TYPES = ["application/json", "application/octet-stream", "application/x-tar"];

/** Where a browser gets its session. */
const WITHOUT_RIGHTS = "POST /v1/session";
/** Methods that change nothing. Browsers name the origin of every other request. */
const SAFE = ["GET", "HEAD"];

const accesses = new WeakMap<IncomingMessage, Access>();

/** Of a request at the listener; undefined: it came by the socket. */
export function accessOf(request: IncomingMessage): Access | undefined {
  return accesses.get(request);
}

/**
 * Lets a request in, or throws: `not-allowed` for another host or site, `not-authenticated` for nobody, `usage` for a body that a form could
 * have sent.
 */
export function admit(
  request: IncomingMessage,
  { listen, tokens }: { listen: ApiListen; tokens: Tokens },
): Access {
  const { headers } = request;
  checkHost(headers, listen);
  checkOrigin(headers, listen);
  if (headers.upgrade === undefined) checkBody(headers);
  const access = accessBy(request, { listen, tokens });
  setAccess(request, access);
  return access;
}

/** For a request that has been let in. */
export function setAccess(request: IncomingMessage, access: Access): void {
  accesses.set(request, access);
}

function accessBy(
  request: IncomingMessage,
  { listen, tokens }: { listen: ApiListen; tokens: Tokens },
): Access {
  const { headers, method, url = "" } = request;
  const page = pageOf(request, listen);
  if (`${method} ${url.split("?")[0]}` === WITHOUT_RIGHTS) return { token: null, rights: "none", page };
  const text = bearerOf(headers);
  const token = text === null ? sessionOf(headers, page, tokens) : tokens.check(text, "token");
  if (token !== null) return { token, rights: token.rights, page };
  throw new EngineError(
    "not-authenticated",
    text === null
      ? "the request has neither a token nor a valid session"
      : "the token is not valid, or not any more",
    {
      hint: "on that host: thaw token create; then: thaw context add NAME URL --token-file FILE; for a browser: thaw ui",
    },
  );
}

/** The page's origin, if a browser says that the page itself makes the request. */
function pageOf({ headers, method = "" }: IncomingMessage, listen: ApiListen): string | null {
  const own = pageOriginOf(listen.page, headers.host);
  const { origin, upgrade, "sec-fetch-site": site } = headers;
  const mayOmitOrigin = SAFE.includes(method) && upgrade === undefined;
  const isOwn = origin === undefined ? mayOmitOrigin && site === "same-origin" : origin === own;
  return isOwn ? own : null;
}

function sessionOf({ cookie }: IncomingHttpHeaders, page: string | null, tokens: Tokens): Token | null {
  if (page === null) return null;
  for (const secret of sessionsIn(cookie, page)) {
    const session = tokens.check(secret, "session");
    if (session !== null) return session;
  }
  return null;
}

/** Throws `not-allowed` when the request came with fewer rights. Who comes by the socket has all. */
export function needRights(request: IncomingMessage, needs: Rights | "none"): void {
  const access = accessOf(request);
  if (access === undefined || allows(access.rights, needs)) return;
  const { token, rights } = access;
  throw new EngineError(
    "not-allowed",
    `${token?.kind ?? "nobody"} ${token?.name ?? ""} has the right ${rights}: this needs ${needs}`,
    {
      hint:
        token?.kind === "session"
          ? `on that host: thaw ui --rights ${needs}`
          : `on that host: thaw token create --name NAME --rights ${needs}`,
    },
  );
}

/** Throws `not-allowed` for a name that leads here by the DNS of another site. */
export function checkHost({ host }: IncomingHttpHeaders, { hosts }: ApiListen): void {
  const name = host === undefined ? null : URL.parse(`http://${host}/`)?.hostname;
  if (name === null || name === undefined || !hosts.has(name))
    throw new EngineError("not-allowed", `this daemon is not ${JSON.stringify(String(host).slice(0, 100))}`, {
      hint: "listen.hosts in config.yaml names the hosts that it is",
    });
}

/** Pages of other sites, and of other ports of this machine: what a guest serves is there. */
function checkOrigin(headers: IncomingHttpHeaders, { base, tls }: ApiListen): void {
  const { origin, host, "sec-fetch-site": site } = headers;
  const own = [`${tls === null ? "http" : "https"}://${host}`, ...(base === null ? [] : [base.origin])];
  const isForeign =
    (origin !== undefined && !own.includes(origin)) ||
    (site !== undefined && !["same-origin", "none"].includes(String(site)));
  if (isForeign) throw new EngineError("not-allowed", "a page of another origin can't use this daemon");
}

function checkBody(headers: IncomingHttpHeaders): void {
  const { "content-type": type, "content-length": length = "0", "transfer-encoding": chunked } = headers;
  if (type === undefined && length === "0" && chunked === undefined) return;
  const plain = type?.split(";")[0]?.trim().toLowerCase();
  if (plain === undefined || !TYPES.includes(plain))
    throw new EngineError(
      "usage",
      `a body is ${TYPES.join(", ")}, not ${JSON.stringify(type?.slice(0, 100) ?? "of no type")}`,
    );
}

function bearerOf({ authorization }: IncomingHttpHeaders): string | null {
  return /^bearer +(\S{1,200})$/i.exec(authorization ?? "")?.[1] ?? null;
}
