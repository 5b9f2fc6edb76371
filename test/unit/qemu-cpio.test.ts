import { expect, test } from "vitest";
import { cpio } from "../../runners/qemu/kernel/cpio.ts";

/** Reads an archive back, by the format's description. */
function read(archive: Buffer): { path: string; mode: string; device: string; data: string }[] {
  const entries = [];
  for (let at = 0; at < archive.length; ) {
    expect(archive.toString("latin1", at, at + 6)).toBe("070701");
    expect(at % 4).toBe(0);
    const field = (index: number): number =>
      Number.parseInt(archive.toString("latin1", at + 6 + 8 * index, at + 14 + 8 * index), 16);
    const path = archive.toString("utf8", at + 110, at + 110 + field(11) - 1);
    const dataAt = (at + 110 + field(11) + 3) & ~3;
    if (path === "TRAILER!!!") return entries;
    const data = archive.toString("utf8", dataAt, dataAt + field(6));
    entries.push({ path, mode: field(1).toString(8), device: `${field(9)}:${field(10)}`, data });
    at = (dataAt + field(6) + 3) & ~3;
  }
  throw new Error("no trailer");
}

test("directories, files and devices come back as they went in", () => {
  const archive = cpio([
    { path: "dev", kind: "directory" },
    { path: "dev/console", kind: "character-device", mode: 0o600, major: 5, minor: 1 },
    { path: "init", kind: "file", mode: 0o755, data: Buffer.from("hello") },
    { path: "empty", kind: "file", mode: 0o644, data: new Uint8Array() },
  ]);
  expect(read(archive)).toEqual([
    { path: "dev", mode: "40755", device: "0:0", data: "" },
    { path: "dev/console", mode: "20600", device: "5:1", data: "" },
    { path: "init", mode: "100755", device: "0:0", data: "hello" },
    { path: "empty", mode: "100644", device: "0:0", data: "" },
  ]);
});

test("names and data of every length keep the alignment", () => {
  for (let length = 1; length <= 9; length++) {
    const path = "n".repeat(length);
    const entries = read(cpio([{ path, kind: "file", mode: 0o644, data: Buffer.alloc(length, "x") }]));
    expect(entries).toEqual([{ path, mode: "100644", device: "0:0", data: "x".repeat(length) }]);
  }
});

test("absolute paths are refused", () => {
  expect(() => cpio([{ path: "/init", kind: "directory" }])).toThrow("not relative");
});
