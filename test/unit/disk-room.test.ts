import { describe, expect, test } from "vitest";
import { type DiskState, grantOf } from "../../engine/disk-room.ts";

const MIB = 2 ** 20;
const RESERVE = { reserveBytes: 256 * MIB };
const state = (change: Partial<DiskState>): DiskState => ({
  ...{ freeBytes: 10_000 * MIB, ownBytes: 50 * MIB, allBytes: 500 * MIB, takenBytes: 0, running: 4 },
  ...change,
});

describe("what a sandbox may write next", () => {
  test("a stretch, shorter where there is little room or many run", () => {
    expect(grantOf(state({}), RESERVE)).toEqual({ bytes: 64 * MIB });
    expect(grantOf(state({ freeBytes: (256 + 80) * MIB }), RESERVE)).toEqual({ bytes: 10 * MIB });
    expect(grantOf(state({ running: 1000 }), RESERVE)).toMatchObject({ bytes: expect.any(Number) });
  });

  test("below the reserve each has its share of half of it, and no more", () => {
    const low = { freeBytes: 200 * MIB };
    expect(grantOf(state(low), RESERVE)).toEqual({ bytes: 4 * MIB });
    expect(grantOf(state({ ...low, takenBytes: 31 * MIB }), RESERVE)).toEqual({ bytes: 4 * MIB });
    expect(grantOf(state({ ...low, takenBytes: 32 * MIB }), RESERVE)).toMatchObject({ held: "disk-room" });
    expect(grantOf(state({ freeBytes: 60 * MIB }), RESERVE)).toMatchObject({ held: "disk-room" });
  });

  test("never past its own limit, nor that of all", () => {
    const limits = { ...RESERVE, sandboxBytes: 60 * MIB, hostBytes: 508 * MIB };
    expect(grantOf(state({}), limits)).toEqual({ bytes: 8 * MIB });
    expect(grantOf(state({ ownBytes: 59 * MIB }), limits)).toEqual({ bytes: MIB });
    expect(grantOf(state({ ownBytes: 60 * MIB }), limits)).toEqual({
      ...{ held: "disk-limit", reason: "its disk has 60 MB, limits.sandbox.disk is 60 MB" },
    });
    expect(grantOf(state({ allBytes: 600 * MIB }), limits)).toEqual({
      ...{ held: "disk-limit", reason: "the disks of all sandboxes have 600 MB, limits.disk is 508 MB" },
    });
  });
});
