/**
 * The page's files, to whoever asks: there is nothing secret in them. The policy lets the page load what comes from here, and nothing else, so that
 * text of a guest that got into it by mistake runs nothing and tells nobody.
 */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { extname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { EngineError } from "../../engine/errors.ts";

const POLICY = {
  "default-src": "'none'",
  "script-src": "'self'",
  "style-src": "'self'",
  "img-src": "'self' data:",
  "font-src": "'self'",
  "connect-src": "'self'",
  "manifest-src": "'self'",
  "frame-ancestors": "'none'",
  "base-uri": "'none'",
  "form-action": "'none'",
};

/** Of every answer at the listener. */
export const COMMON_HEADERS: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
};

/** Of the API's answers: what a guest wrote is never a page. */
export const API_HEADERS: Readonly<Record<string, string>> = {
  ...COMMON_HEADERS,
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
  "cache-control": "no-store",
  // nginx would hold events back, and keep whole downloads
  "x-accel-buffering": "no",
};

const PAGE_HEADERS: Readonly<Record<string, string>> = {
  ...COMMON_HEADERS,
  "content-security-policy": Object.entries(POLICY)
    .map((directive) => directive.join(" "))
    .join("; "),
  "permissions-policy":
    "camera=(), display-capture=(), geolocation=(), hid=(), microphone=(), payment=(), serial=(), usb=()",
};

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".ico": "image/x-icon",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
  ".woff2": "font/woff2",
};

const ENCODINGS = [
  ["br", ".br"],
  ["gzip", ".gz"],
] as const;

/** Their names have a digest of their content. */
const ASSETS = "/assets/";
const MAX_PATH = 300;
/** Names of files that a build makes. Nothing hidden, and no way up. */
const PATH = /^(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$/;

/** @param folder of the build; it may be absent. Throws `not-found`. */
export async function servePage(
  folder: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? "").split(/[?#]/)[0] ?? "";
  const file = await findFile(folder, path, request);
  if (file === null) throw await notFound(folder);
  const { name, encoding, size } = file;
  response.writeHead(200, {
    ...PAGE_HEADERS,
    "content-type": TYPES[extname(name)] ?? "application/octet-stream",
    "content-length": size,
    "cache-control": path.startsWith(ASSETS) ? "public, max-age=31536000, immutable" : "no-cache",
    vary: "accept, accept-encoding",
    ...(encoding === null ? {} : { "content-encoding": encoding.name }),
  });
  if (request.method === "HEAD") return void response.end();
  // Whoever goes away in the middle has what he wanted.
  await pipeline(createReadStream(`${name}${encoding?.suffix ?? ""}`), response).catch(() => {});
}

async function notFound(folder: string): Promise<EngineError> {
  const isBuilt = (await sizeOf(join(folder, "index.html"))) !== null;
  return isBuilt
    ? new EngineError("not-found", "there is nothing at this address")
    : new EngineError("not-found", "this build of thaw has no page", { hint: "npm run build" });
}

interface Found {
  /** Path of the file, not encoded. */
  name: string;
  encoding: { name: string; suffix: string } | null;
  size: number;
}

/** Every address of the page that is no file is one of its views. */
async function findFile(folder: string, path: string, { headers }: IncomingMessage): Promise<Found | null> {
  const accepted = String(headers["accept-encoding"] ?? "");
  const isFile = path.length <= MAX_PATH && PATH.test(path);
  const found = isFile ? await findEncoded(join(folder, path), accepted) : null;
  if (found !== null || path.startsWith(ASSETS) || !(headers.accept ?? "").includes("text/html"))
    return found;
  return findEncoded(join(folder, "index.html"), accepted);
}

async function findEncoded(name: string, accepted: string): Promise<Found | null> {
  const plain = await sizeOf(name);
  if (plain === null) return null;
  for (const [encoding, suffix] of ENCODINGS) {
    if (!new RegExp(`\\b${encoding}\\b(?!\\s*;\\s*q=0(\\.0*)?\\s*(,|$))`).test(accepted)) continue;
    const size = await sizeOf(`${name}${suffix}`);
    if (size !== null) return { name, encoding: { name: encoding, suffix }, size };
  }
  return { name, encoding: null, size: plain };
}

async function sizeOf(path: string): Promise<number | null> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() === true ? found.size : null;
}
