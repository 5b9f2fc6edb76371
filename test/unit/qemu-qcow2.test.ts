import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";
import { expect, test } from "vitest";
import { checkQcow2, emptyQcow2, QCOW2_HEADER_BYTES } from "../../runners/qemu/qcow2.ts";

const GIB = 1024 ** 3;

/** A good header, then changed. */
function header(change: (buffer: Buffer) => void = () => {}): Buffer {
  const buffer = emptyQcow2(2 * GIB).subarray(0, QCOW2_HEADER_BYTES);
  change(buffer);
  return buffer;
}

test("an image made here stands alone", () => {
  expect(checkQcow2(header())).toEqual({ ok: true, virtualSize: 2 * GIB });
});

const hostile: [why: string, header: Buffer][] = [
  ["is not a qcow2 image", header((b) => b.writeUInt32BE(0x7f454c46, 0))],
  ["has qcow2 version 9", header((b) => b.writeUInt32BE(9, 4))],
  ["names a backing file", header((b) => b.writeBigUInt64BE(104n, 8))],
  ["names a backing file", header((b) => b.writeUInt32BE(5, 16))],
  ["has clusters of 2^63 bytes", header((b) => b.writeUInt32BE(63, 20))],
  ["says it is 0 bytes large", header((b) => b.writeBigUInt64BE(0n, 24))],
  ["says it is 18446744073709551615 bytes large", header((b) => b.writeBigUInt64BE(2n ** 64n - 1n, 24))],
  ["is encrypted", header((b) => b.writeUInt32BE(2, 32))],
  ["names an external data file", header((b) => b.writeBigUInt64BE(4n, 72))],
  ["is marked corrupt", header((b) => b.writeBigUInt64BE(2n, 72))],
  ["needs unknown features 0x8000000000000000", header((b) => b.writeBigUInt64BE(2n ** 63n, 72))],
  ["has a header too short for its version", header((b) => b.writeUInt32BE(72, 100))],
  ["is 10 bytes long, shorter than a qcow2 header", header().subarray(0, 10)],
  ["ends within its header", header().subarray(0, 80)],
];

test.each(hostile)("refused: %s", (reason, bytes) => {
  expect(checkQcow2(bytes)).toEqual({ ok: false, reason });
});

test("any bytes get a verdict", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      (bytes) => typeof checkQcow2(Buffer.from(bytes)).ok === "boolean",
    ),
  );
});

test.each([[-1], [0], [513], [5 * 1024 * GIB]])("no image of %d bytes", (size) => {
  expect(() => emptyQcow2(size)).toThrow(RangeError);
});

test("QEMU finds no fault with an empty image", async () => {
  const dir = await mkdtemp(join(tmpdir(), "thaw-qcow2-"));
  try {
    for (const size of [512, 1024 ** 2, 20 * GIB, 4096 * GIB]) {
      const path = join(dir, `${size}.qcow2`);
      await writeFile(path, emptyQcow2(size));
      const { stdout } = await promisify(execFile)("qemu-img", ["check", "--output=json", path]);
      expect(JSON.parse(stdout)).toMatchObject({ "check-errors": 0, "image-end-offset": 4 * 65_536 });
      const info = await promisify(execFile)("qemu-img", ["info", "--output=json", path]);
      expect(JSON.parse(info.stdout)).toMatchObject({ "virtual-size": size });
    }
  } finally {
    await rm(dir, { recursive: true });
  }
});
