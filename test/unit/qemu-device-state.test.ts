import { mkdtempSync, readdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openDeviceState, readDeviceState, withConfiguration } from "../../runners/qemu/device-state.ts";

/** How a migration of QEMU 7.2 begins, read off one. */
const MIGRATION = Buffer.from(
  "5145564d00000003070000000a70632d7133352d372e32051a636f6e66696775726174696f6e2f6361706162696c6974696573" +
    "00000001000000010f782d69676e6f72652d736861726564",
  "hex",
);
const SECTIONS = Buffer.from("0400000002", "hex");
const bare = Buffer.concat([MIGRATION.subarray(0, 8), SECTIONS]);

let dir: string;
beforeEach(() => {
  dir = mkdtempSync("/tmp/thaw-devices-");
});
afterEach(() => rmSync(dir, { recursive: true }));

test("a difference's device state gets the head of a migration", () => {
  const configured = withConfiguration(bare, "pc-q35-7.2");
  expect(configured.toString("hex")).toBe(Buffer.concat([MIGRATION, SECTIONS]).toString("hex"));
  expect(withConfiguration(configured, "pc-q35-7.2")).toBe(configured);
});

test("what an earlier version took is opened with that head, and no copy is left", async () => {
  writeFileSync(join(dir, "bare"), bare);
  const handle = await openDeviceState(join(dir, "bare"), "pc-q35-7.2", join(dir, "copy"));
  expect(await handle.readFile()).toEqual(Buffer.concat([MIGRATION, SECTIONS]));
  await handle.close();
  expect(readdirSync(dir)).toEqual(["bare"]);
});

test("a link, and a file that is larger than any device state, are not read", async () => {
  writeFileSync(join(dir, "huge"), bare);
  truncateSync(join(dir, "huge"), 2 ** 30);
  symlinkSync("huge", join(dir, "link"));
  await expect(readDeviceState(join(dir, "huge"))).rejects.toThrow("QEMU saved 1073741824 bytes");
  await expect(readDeviceState(join(dir, "link"))).rejects.toThrow("ELOOP");
});
