import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { caseFile } from "../../api/case-file.ts";
import type { CapturePolicy } from "../../api/exec.ts";
import { captureManifest, caseJsonSchema } from "../../engine/captures/case-file.ts";
import { fingerprint } from "../../engine/captures/fingerprint.ts";
import { compressPart, faultOf } from "../../engine/captures/parts.ts";
import { failureInterval } from "../../engine/captures/rerun.ts";
import { EngineError } from "../../engine/errors.ts";
import { endingOf, wantsCapture } from "../../engine/execs/ending.ts";
import { expandSparse } from "../../engine/travel/sparse.ts";

const folder = mkdtempSync(join(tmpdir(), "thaw-parts-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const exit = (change: object = {}) => ({
  code: 1,
  signal: null,
  oom: false,
  timedOut: false,
  durationMs: 5,
  ...change,
});

describe("which ends are captured", () => {
  test.each<[CapturePolicy, object, boolean, boolean]>([
    ["on-failure", {}, false, true],
    ["on-failure", { code: 0 }, false, false],
    ["on-failure", { code: null, signal: "SIGSEGV" }, false, true],
    ["on-failure", { oom: true }, false, true],
    ["on-failure", { timedOut: true, code: null, signal: "SIGTERM" }, false, true],
    ["on-failure", { code: 130 }, true, false],
    ["always", { code: 0 }, false, true],
    ["always", { code: 130 }, true, true],
    ["never", {}, false, false],
    [["timeout"], {}, false, false],
    [["timeout"], { timedOut: true }, false, true],
    [["exit"], { code: 0 }, false, false],
    [["cancel"], { code: null, signal: "SIGINT" }, true, true],
  ])("%j of %j, interrupted %s: %s", (policy, change, interrupted, wanted) => {
    expect(wantsCapture(policy, endingOf(exit(change), interrupted))).toBe(wanted);
  });
});

describe("fingerprints", () => {
  const shape = { trigger: "exit" as const, argv: ["npm", "test"], code: 1, signal: null };

  test("what changes from run to run does not tell failures apart", () => {
    const one = fingerprint({
      ...shape,
      lines: ["\u001b[31mError at 0x7ffd12 in /tmp/a1b2/x.js:12", "took 31 ms", ""],
    });
    const two = fingerprint({ ...shape, lines: ["Error at 0x55aa in /tmp/zz/y.js:97", "took 1204 ms"] });
    expect(one).toBe(two);
    expect(one).toMatch(/^[0-9a-f]{12}$/);
  });

  test("what it said and how it ended does", () => {
    const all = [
      fingerprint({ ...shape, lines: ["EADDRINUSE"] }),
      fingerprint({ ...shape, lines: ["ECONNREFUSED"] }),
      fingerprint({ ...shape, lines: ["EADDRINUSE"], code: 2 }),
      fingerprint({ ...shape, lines: ["EADDRINUSE"], argv: ["npm", "run"] }),
    ];
    expect(new Set(all).size).toBe(4);
  });
});

describe("the share that fails", () => {
  test("Wilson's interval, known values", () => {
    const [low, high] = failureInterval(5, 16);
    expect([low.toFixed(2), high.toFixed(2)]).toEqual(["0.14", "0.56"]);
    expect(failureInterval(0, 10)[0]).toBe(0);
    expect(failureInterval(10, 10)[1]).toBe(1);
    expect(failureInterval(0, 0)).toEqual([0, 1]);
  });

  test("holds the share, within 0 and 1, and narrows", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), fc.nat(), (count, seed) => {
        const failed = seed % (count + 1);
        const [low, high] = failureInterval(failed, count);
        expect(low).toBeGreaterThanOrEqual(0);
        expect(high).toBeLessThanOrEqual(1);
        expect(low).toBeLessThanOrEqual(failed / count);
        expect(high).toBeGreaterThanOrEqual(failed / count);
        const [low4, high4] = failureInterval(4 * failed, 4 * count);
        expect(high4 - low4).toBeLessThan(high - low + 1e-12);
      }),
    );
  });
});

describe("parts", () => {
  const part = (stored: object) => ({
    name: "pages.zst" as const,
    sizeBytes: 0,
    rawBytes: 0,
    sha256: "0".repeat(64),
    ...stored,
  });

  test("come back as they were; a flipped bit is found", async () => {
    const raw = Buffer.alloc(3_000_000, "some memory ");
    writeFileSync(join(folder, "raw"), raw);
    const stored = part(await compressPart(join(folder, "raw"), join(folder, "stored")));
    expect(stored.rawBytes).toBe(raw.length);
    expect(stored.sizeBytes).toBeLessThan(10_000);
    expect(await faultOf(join(folder, "stored"), stored)).toBeNull();
    const options = { limitBytes: stored.rawBytes, room: async () => {} };
    await expandSparse(join(folder, "stored"), join(folder, "again"), options);
    expect(readFileSync(join(folder, "again")).equals(raw)).toBe(true);
    const flipped = readFileSync(join(folder, "stored"));
    flipped[200] = (flipped[200] ?? 0) ^ 4;
    writeFileSync(join(folder, "flipped"), flipped);
    expect(await faultOf(join(folder, "flipped"), stored)).toMatch(/altered/);
    expect(await faultOf(join(folder, "gone"), stored)).toMatch(/missing/);
  });

  test("that open to more or less than they say are refused, and nothing is left", async () => {
    const bomb = zstdCompressSync(Buffer.alloc(64 << 20));
    writeFileSync(join(folder, "bomb"), bomb);
    for (const limitBytes of [1000, 65 << 20]) {
      const options = { limitBytes, room: async () => {} };
      await expect(expandSparse(join(folder, "bomb"), join(folder, "opened"), options)).rejects.toThrow(
        /decompresses to/,
      );
      expect(() => readFileSync(join(folder, "opened"))).toThrow(/ENOENT/);
    }
  });

  test("zeros become holes, and whatever takes place on the disk is asked for before it is written", async () => {
    const noise = randomBytes(9 << 20);
    const raw = Buffer.concat([Buffer.alloc(16 << 20), noise, Buffer.alloc(16 << 20)]);
    writeFileSync(join(folder, "mixed"), zstdCompressSync(raw));
    const to = join(folder, "mixed-opened");
    let granted = 0;
    const room = async (bytes: number): Promise<void> => {
      granted += bytes;
    };
    await expandSparse(join(folder, "mixed"), to, { limitBytes: raw.length, room });
    expect(readFileSync(to).equals(raw)).toBe(true);
    expect(statSync(to).blocks * 512).toBeLessThan(noise.length + (1 << 20));
    expect(granted).toBeGreaterThanOrEqual(noise.length);
    expect(granted).toBeLessThan(noise.length + (16 << 20));

    let left = 4 << 20;
    const full = async (bytes: number): Promise<void> => {
      left -= bytes;
      if (left < 0) throw new EngineError("no-space", "the disk is full");
    };
    const refused = expandSparse(join(folder, "mixed"), `${to}.2`, { limitBytes: raw.length, room: full });
    await expect(refused).rejects.toThrow("the disk is full");
    expect(() => statSync(`${to}.2`)).toThrow(/ENOENT/);
  });

  test("a manifest can't name files of the host", () => {
    const names = ["../../etc/passwd", "/etc/passwd", "notes.json", "manifest.json", "layer-17.qcow2.zst"];
    for (const name of names)
      expect(captureManifest.shape.parts.safeParse([{ ...part({}), name }]).success).toBe(false);
    expect(captureManifest.shape.parts.safeParse([part({}), part({})]).success).toBe(false);
  });
});

test("the JSON Schema in docs/ is the case file's: node scripts/write-schemas.ts", () => {
  expect(JSON.parse(readFileSync("docs/case.schema.json", "utf8"))).toEqual(
    JSON.parse(JSON.stringify(caseJsonSchema())),
  );
});

const cases = readdirSync("test/fixtures/cases");
test.each(cases)("a case file that was written by an earlier version is read: %s", (name) => {
  const file = caseFile.parse(JSON.parse(readFileSync(join("test/fixtures/cases", name), "utf8")));
  expect(file.exec?.exit?.code).toBe(1);
  // What it does not tell is not claimed.
  if (name === "first.json") expect(file.disk).toEqual({ writtenOut: false, asOf: null });
});
