/** Images for tests: layers with any entry, whole or hostile, sent to a registry. */
import { createHash } from "node:crypto";
import { gzipSync, zstdCompressSync } from "node:zlib";

export interface Entry {
  path: string;
  /** As in the header: "0" a file, "1" a hard link, "2" a link, "5" a folder, "x" … */
  type?: string;
  content?: Buffer | string;
  target?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  /** Seconds. */
  mtime?: number;
  /** Records of a pax header before it. */
  pax?: Record<string, string | Buffer>;
}

export const file = (path: string, content: Buffer | string = "", more: Partial<Entry> = {}): Entry => ({
  ...{ path, content },
  ...more,
});
export const folder = (path: string, more: Partial<Entry> = {}): Entry => ({
  ...{ path, type: "5", mode: 0o755 },
  ...more,
});
export const link = (path: string, target: string): Entry => ({ path, type: "2", target, mode: 0o777 });
export const hardLink = (path: string, target: string): Entry => ({ path, type: "1", target });
export const whiteout = (path: string): Entry => file(path.replace(/([^/]+)$/, ".wh.$1"));
export const opaque = (path: string): Entry => file(`${path}/.wh..wh..opq`);

/** An uncompressed layer. */
export function layer(...entries: Entry[]): Buffer {
  return Buffer.concat([...entries.map(tarEntry), Buffer.alloc(1024)]);
}

function tarEntry(entry: Entry): Buffer {
  const { path, type = "0", target = "", mode = 0o644, uid = 0, gid = 0, mtime = 1_000_000_000, pax } = entry;
  const content = Buffer.from(entry.content ?? "");
  const before: Buffer[] = [];
  if (pax !== undefined) {
    const records = Object.entries(pax).map(([key, value]) => paxRecord(key, Buffer.from(value)));
    before.push(tarEntry({ path: "PaxHeaders/0", type: "x", content: Buffer.concat(records) }));
  }
  const header = Buffer.alloc(512);
  const octal = (value: number, at: number, digits: number): void =>
    void header.write(`${value.toString(8).padStart(digits, "0")}\0`, at);
  header.write(path, 0, 100, "latin1");
  octal(mode, 100, 7);
  octal(uid, 108, 7);
  octal(gid, 116, 7);
  octal(content.length, 124, 11);
  octal(mtime, 136, 11);
  header.write(type, 156);
  header.write(target, 157, 100, "latin1");
  header.write("ustar\u000000", 257);
  header.write("        ", 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Buffer.concat([...before, header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
  let length = rest.length + 1;
  while (rest.length + String(length).length > length) length++;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

export interface ImageOptions {
  /** Uncompressed, lowest first. */
  layers: Buffer[];
  compression?: "gzip" | "zstd" | "none";
  /** Env, User, WorkingDir … */
  config?: Record<string, unknown>;
  architecture?: string;
  /** Indexes within one another above the manifest. */
  indexes?: number;
}

interface Repository {
  /** `127.0.0.1:PORT` */
  host: string;
  /** base64 of USER:PASSWORD. */
  auth?: string;
  name: string;
  tag?: string;
}

/** Sends an image to a registry on loopback. @returns the digest of its manifest, below all indexes */
export async function pushImage(to: Repository, options: ImageOptions): Promise<string> {
  const { compression = "gzip", architecture = "amd64" } = options;
  const type = (name: string): string => `application/vnd.oci.image.${name}+json`;
  const pack = { gzip: gzipSync, zstd: zstdCompressSync, none: (bytes: Buffer) => bytes }[compression];
  const layers = [];
  for (const bytes of options.layers)
    layers.push(await sendBlob(to, pack(bytes), `application/vnd.oci.image.layer.v1.tar+${compression}`));
  const diffIds = options.layers.map(digestOf);
  const settings = { architecture, os: "linux", config: options.config ?? {} };
  const rootfs = { type: "layers", diff_ids: diffIds };
  const config = await sendBlob(to, Buffer.from(JSON.stringify({ ...settings, rootfs })), type("config.v1"));
  const manifest = { schemaVersion: 2, mediaType: type("manifest.v1"), config, layers };
  const own = await sendManifest(to, manifest);
  let top: object = { ...own, platform: { os: "linux", architecture } };
  let whole: typeof manifest | object = manifest;
  for (let depth = 0; depth < (options.indexes ?? 0); depth++) {
    whole = { schemaVersion: 2, mediaType: type("index.v1"), manifests: [top] };
    top = await sendManifest(to, whole as { mediaType: string });
  }
  await sendManifest(to, whole as { mediaType: string }, to.tag ?? "latest");
  return own.digest;
}

/** Puts a manifest under its digest, or a tag. */
export async function sendManifest(to: Repository, manifest: { mediaType: string }, tag?: string) {
  const body = JSON.stringify(manifest);
  const digest = digestOf(Buffer.from(body));
  const headers = { ...headersOf(to), "content-type": manifest.mediaType };
  const url = `http://${to.host}/v2/${to.name}/manifests/${tag ?? digest}`;
  await sent(await fetch(url, { method: "PUT", headers, body }));
  return { mediaType: manifest.mediaType, digest, size: body.length };
}

async function sendBlob(to: Repository, bytes: Buffer, mediaType: string) {
  const digest = digestOf(bytes);
  const headers = headersOf(to);
  const begun = await sent(
    await fetch(`http://${to.host}/v2/${to.name}/blobs/uploads/`, { method: "POST", headers }),
  );
  const url = new URL(begun.headers.get("location") ?? "", `http://${to.host}`);
  url.searchParams.set("digest", digest);
  await sent(await fetch(url, { method: "PUT", headers, body: new Uint8Array(bytes) }));
  return { mediaType, digest, size: bytes.length };
}

async function sent(answer: Response): Promise<Response> {
  if (!answer.ok) throw new Error(`the registry answers ${answer.status} ${await answer.text()}`);
  return answer;
}

function headersOf({ auth }: Repository): Record<string, string> {
  return auth === undefined ? {} : { authorization: `Basic ${auth}` };
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
