/** Certificates of authorities that were added to this host, such as a company's that inspects TLS: what the host trusts beyond its distribution. */
import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { promisify } from "node:util";

/** Where an administrator puts them, and what the distribution brings (Debian, Ubuntu). */
const ADDED_DIR = "/usr/local/share/ca-certificates";
const SHIPPED_DIR = "/usr/share/ca-certificates";
const BUNDLE_VARIABLES = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"];
const MAX_AUTHORITIES = 64;
const MAX_FILE_BYTES = 4 << 20;
const OPENSSL_MS = 5_000;
/** A change on the host is seen after this. */
const KEPT_MS = 60_000;

export interface Authority {
  /** With a line end. */
  pem: string;
  /** The name under which OpenSSL looks for it, without the number; null: this host has no openssl. */
  hash: string | null;
}

export interface AuthorityOptions {
  /** Of the configuration: `off`, files, or what was added to the host. */
  ca?: "off" | readonly string[] | undefined;
  env?: NodeJS.ProcessEnv;
  addedDir?: string;
}

let known: { key: string; at: number; found: Promise<Authority[]> } | null = null;

/** Never rejects: what can't be read is left out. */
export function hostAuthorities(options: AuthorityOptions): Promise<Authority[]> {
  const key = JSON.stringify([options.ca, options.addedDir]);
  const now = performance.now();
  if (known?.key !== key || now - known.at > KEPT_MS) known = { key, at: now, found: collect(options) };
  return known.found;
}

async function collect({
  ca,
  env = process.env,
  addedDir = ADDED_DIR,
}: AuthorityOptions): Promise<Authority[]> {
  if (ca === "off") return [];
  const files = ca ?? (await filesIn(addedDir));
  const named = new Map<string, string>();
  for (const file of files) for (const [key, pem] of await certificatesOf(file)) named.set(key, pem);
  if (ca === undefined) await addUnknown(named, env);
  const pems = [...named.values()].slice(0, MAX_AUTHORITIES);
  return Promise.all(pems.map(async (pem) => ({ pem, hash: await subjectHash(pem) })));
}

/** A bundle that the environment names holds the distribution's own as well. */
async function addUnknown(into: Map<string, string>, env: NodeJS.ProcessEnv): Promise<void> {
  const bundles = new Set(BUNDLE_VARIABLES.map((name) => env[name]).filter((path) => path !== undefined));
  if (bundles.size === 0) return;
  const shipped = new Set(rootCertificates.map((pem) => new X509Certificate(pem).fingerprint256));
  for (const file of await filesIn(SHIPPED_DIR))
    for (const [key] of await certificatesOf(file)) shipped.add(key);
  for (const file of bundles)
    for (const [key, pem] of await certificatesOf(file)) if (!shipped.has(key)) into.set(key, pem);
}

async function filesIn(dir: string): Promise<string[]> {
  const found = await readdir(dir, { recursive: true }).catch(() => []);
  return found.filter((name) => name.endsWith(".crt")).map((name) => join(dir, name));
}

/** By fingerprint; those of authorities only. */
async function certificatesOf(file: string): Promise<Map<string, string>> {
  const text = await readFile(file, "latin1").catch(() => "");
  const found = new Map<string, string>();
  if (text.length > MAX_FILE_BYTES) return found;
  for (const [pem] of text.matchAll(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g)) {
    try {
      const certificate = new X509Certificate(pem);
      if (certificate.ca) found.set(certificate.fingerprint256, `${pem}\n`);
    } catch {
      // Not a certificate.
    }
  }
  return found;
}

async function subjectHash(pem: string): Promise<string | null> {
  const asked = promisify(execFile)("openssl", ["x509", "-noout", "-subject_hash"], { timeout: OPENSSL_MS });
  asked.child.stdin?.on("error", () => {}).end(pem);
  const { stdout } = await asked.catch(() => ({ stdout: "" }));
  return /^[0-9a-f]{8}$/.exec(stdout.trim())?.[0] ?? null;
}
