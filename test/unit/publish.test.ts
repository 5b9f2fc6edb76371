import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Finding } from "../../api/case-file.ts";
import type { CaptureManifest, CapturePart } from "../../engine/captures/case-file.ts";
import { compressPart, describePart } from "../../engine/captures/parts.ts";
import { assertPublishable } from "../../engine/captures/publish.ts";
import { scanCapture } from "../../engine/captures/scan.ts";
import type { StoredCapture } from "../../engine/captures/store.ts";
import { SecretMatcher } from "../../engine/secrets/matcher.ts";
import { sealSecrets } from "../../engine/secrets/sealed.ts";
import type { StoredSnapshot } from "../../engine/snapshots/store.ts";

const VALUE = "correct-horse-battery";
const GITHUB = `ghp_${"aB3dE5gH7jK9mN1pQrS2tUvWxYz4aB3dE5gH7jK9".slice(0, 36)}`;
const matcher = SecretMatcher.of(sealSecrets(null, { TOKEN: VALUE }));

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "thaw-scan-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** A capture of these parts, uncompressed here; of what else a manifest has, nothing is read. */
async function captureOf(
  contents: Partial<Record<CapturePart["name"], string | Buffer>>,
): Promise<StoredCapture> {
  const parts: CapturePart[] = [];
  for (const [key, content] of Object.entries(contents)) {
    const name = key as CapturePart["name"];
    const raw = join(dir, `raw-${name}`);
    await writeFile(name.endsWith(".zst") ? raw : join(dir, name), content ?? "");
    const stored = name.endsWith(".zst")
      ? await compressPart(raw, join(dir, name))
      : await describePart(join(dir, name));
    parts.push({ name, ...stored });
  }
  const manifest = { id: "fail-abcdef", memory: "difference", parts } as unknown as CaptureManifest;
  return { id: "fail-abcdef", dir, manifest, file: {} as StoredCapture["file"] };
}

/** A file of pages: three of the guest's, the second of zeros. */
function pagesFile(first: number, text: string): Buffer {
  const page = Buffer.alloc(4096);
  page.write(text, 100);
  const run = (at: number, pages: number, kind: number): Buffer => {
    const entry = Buffer.alloc(16);
    entry.writeBigUInt64LE(BigInt(at));
    entry.writeUInt32LE(pages, 8);
    entry.writeUInt32LE(kind, 12);
    return entry;
  };
  const header = Buffer.alloc(4096);
  header.write("thawpgs1");
  header.writeBigUInt64LE(1n << 28n, 8);
  header.writeBigUInt64LE(3n * 4096n, 16);
  header.writeBigUInt64LE(3n, 24);
  const index = [run(3, 1, 0), run(4, 1, 1), run(first, 1, 0)];
  return Buffer.concat([header, Buffer.alloc(4096, "x"), page, ...index]);
}

const scan = async (capture: StoredCapture): Promise<Finding[]> =>
  (await scanCapture(capture, null, matcher, new AbortController().signal)).findings;

test("findings are named by kind, place and page; never by value", async () => {
  const findings = await scan(
    await captureOf({
      "case.json": JSON.stringify({ lastLines: [`token ${GITHUB}`] }),
      "request.json": JSON.stringify({ env: { URL: `https://x:${VALUE}@host` } }),
      "workspace.zst": `a ${VALUE} b ${VALUE}`,
      "pages.zst": pagesFile(4711, VALUE),
      "layer-1.qcow2.zst": Buffer.from(VALUE).toString("base64"),
    }),
  );
  const found = (kind: string, where: string, part: string, count = 1, pages: number[] = []) => ({
    ...{ kind, where, part, count, pages },
    masked: kind === "TOKEN",
  });
  expect(findings).toEqual([
    found("github-token", "log", "case.json"),
    found("TOKEN", "request", "request.json"),
    found("TOKEN", "workspace", "workspace.zst", 2),
    found("TOKEN", "memory", "pages.zst", 1, [4711]),
    found("TOKEN", "disk", "layer-1.qcow2.zst"),
  ]);
  expect(JSON.stringify(findings)).not.toContain(VALUE);
});

test("a capture that is a whole snapshot is looked for there too, and can't leave its memory behind", async () => {
  const capture = await captureOf({ "case.json": "{}" });
  capture.manifest.memory = "whole";
  await writeFile(join(dir, "memory"), Buffer.concat([Buffer.alloc(3 * 4096), Buffer.from(VALUE)]));
  const base = { dir, manifest: { parts: [{ name: "memory" }] } } as unknown as StoredSnapshot;
  const result = await scanCapture(capture, base, matcher, new AbortController().signal);
  expect(result.findings).toMatchObject([
    { kind: "TOKEN", where: "memory", part: "base/memory", pages: [3] },
  ]);
  expect(() => assertPublishable(capture, result, { diskOnly: true })).toThrow("not published");
  const none = { at: "", findings: [] };
  expect(() => assertPublishable(capture, none, { diskOnly: true })).toThrow("no memory of its own");
});

test("a part that opens to more than it says is not scanned to its end", async () => {
  const capture = await captureOf({ "workspace.zst": "a".repeat(100_000) });
  const [part] = capture.manifest.parts;
  if (part) part.rawBytes = 10;
  await expect(scan(capture)).rejects.toThrow("more than the 10 bytes");
});

test("publishing is refused with kinds, places and what to do", async () => {
  const capture = await captureOf({
    "case.json": "{}",
    "pages.zst": pagesFile(7, VALUE),
    "devices.zst": "d",
  });
  const at = new Date().toISOString();
  const result = { at, findings: await scan(capture) };
  expect(() => assertPublishable(capture, result)).toThrow(
    expect.objectContaining({
      code: "secrets-found",
      message: "fail-abcdef is not published: it has TOKEN ×1 in memory",
      details: ["TOKEN ×1 in memory (pages.zst, page 7)"],
      hint: expect.stringContaining("--disk-only"),
    }),
  );
  expect(() => assertPublishable(capture, result, { allow: ["TOKEN"] })).toThrow("not published");
  const left = assertPublishable(capture, result, { diskOnly: true });
  expect(left.manifest).toMatchObject({ memory: "none", parts: [{ name: "case.json" }] });
  expect(capture.manifest).toMatchObject({ memory: "difference" });
  expect(assertPublishable(capture, { at, findings: [] })).toBe(capture);
  // Who says so takes no memory along, whatever was found.
  const again = assertPublishable(capture, { at, findings: [] }, { diskOnly: true });
  expect(again.manifest).toMatchObject({ memory: "none", parts: [{ name: "case.json" }] });
  expect(assertPublishable(again, { at, findings: [] }, { diskOnly: true })).toBe(again);
});

test("what is on the disk too is not published without its memory; a shape can be allowed", async () => {
  const capture = await captureOf({ "pages.zst": pagesFile(7, GITHUB), "layer-1.qcow2.zst": GITHUB });
  const result = { at: new Date().toISOString(), findings: await scan(capture) };
  expect(() => assertPublishable(capture, result, { diskOnly: true })).toThrow(
    expect.objectContaining({ hint: expect.stringContaining("--allow-secrets github-token") }),
  );
  expect(assertPublishable(capture, result, { allow: ["github-token"] })).toBe(capture);
});
