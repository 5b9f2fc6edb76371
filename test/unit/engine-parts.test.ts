import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { suggestNearest } from "../../api/nearest.ts";
import { Gate, SingleFlight } from "../../engine/concurrency.ts";
import { encodeManifest, layersOf, manifest, snapshotId } from "../../engine/snapshots/manifest.ts";

test("a gate lets so many in at once, in order", async () => {
  const gate = new Gate(2);
  let inside = 0;
  let most = 0;
  const order: number[] = [];
  await Promise.all(
    [0, 1, 2, 3, 4].map((i) =>
      gate.run(async () => {
        order.push(i);
        most = Math.max(most, ++inside);
        await sleep(2);
        inside--;
      }),
    ),
  );
  expect(most).toBe(2);
  expect(order).toEqual([0, 1, 2, 3, 4]);
});

describe("single flight", () => {
  test("one run for all who ask, each told what goes on", async () => {
    const flights = new SingleFlight<string, number>();
    let runs = 0;
    const start = async (onEvent: (event: number) => void) => {
      runs++;
      await sleep(5);
      onEvent(1);
      return "done";
    };
    const events: number[] = [];
    const passenger = () => ({
      onEvent: (event: number) => events.push(event),
      signal: new AbortController().signal,
    });
    expect(
      await Promise.all([flights.join("k", passenger(), start), flights.join("k", passenger(), start)]),
    ).toEqual(["done", "done"]);
    expect(runs).toBe(1);
    expect(events).toEqual([1, 1]);
  });

  test("goes on while somebody is left, and is aborted with the last", async () => {
    const flights = new SingleFlight<void, never>();
    let aborted = false;
    const start = (_: unknown, signal: AbortSignal) =>
      new Promise<void>((_resolve, reject) =>
        signal.addEventListener("abort", () => {
          aborted = true;
          reject(signal.reason);
        }),
      );
    const [one, two] = [new AbortController(), new AbortController()];
    const first = flights.join("k", { onEvent: () => {}, signal: one.signal }, start).catch(() => "left");
    const second = flights.join("k", { onEvent: () => {}, signal: two.signal }, start).catch(() => "left");
    one.abort();
    expect(await first).toBe("left");
    expect(aborted).toBe(false);
    two.abort();
    expect(await second).toBe("left");
    expect(aborted).toBe(true);
  });
});

test("the nearest names", () => {
  expect(suggestNearest("bsae", ["base", "node"], "thaw template ls")).toBe(
    "did you mean base? (thaw template ls)",
  );
  expect(suggestNearest("zzzzzz", ["base"], "thaw template ls")).toBe("thaw template ls");
});

describe("manifest", () => {
  const needs = {
    runner: "qemu",
    build: "b",
    accelerator: "tcg" as const,
    machine: "m",
    cpu: "c",
    kernel: "k",
    devices: "d",
  };
  const part = (name: "memory" | "devices" | "disk.qcow2") => ({
    name,
    sizeBytes: 1,
    storedBytes: 1,
    sha256: "0".repeat(64),
  });
  const good = {
    schema: 1 as const,
    createdAt: new Date().toISOString(),
    template: null,
    variantOf: null,
    bootedFrom: null,
    warm: [],
    resources: { cpus: 1, memoryMib: 256, diskMib: 4096 },
    needs,
    defaults: { env: {}, user: "root", workdir: "/" },
    parts: [part("memory"), part("devices"), part("disk.qcow2")],
  };

  test("its id is its digest", () => {
    const { text, id } = encodeManifest(good);
    expect(snapshotId(text)).toBe(id);
    expect(snapshotId(`${text} `)).not.toBe(id);
  });

  test("can't name a host's file, nor carry keys we do not know", () => {
    expect(
      manifest.safeParse({
        ...good,
        parts: [{ ...part("memory"), name: "../../etc/shadow" }, part("devices"), part("memory")],
      }).success,
    ).toBe(false);
    expect(manifest.safeParse({ ...good, hostDevice: "/dev/sda" }).success).toBe(false);
    expect(manifest.safeParse(good).success).toBe(true);
  });

  test("layers of a disk have their names and their order", () => {
    const layer = (number: number) => ({ ...part("memory"), name: `layer-${number}.qcow2` });
    const withLayers = (...numbers: number[]) =>
      manifest.safeParse({ ...good, parts: [...good.parts, ...numbers.map(layer)] });
    const three = withLayers(1, 2, 3);
    expect(three.data && layersOf(three.data)).toEqual(["layer-1.qcow2", "layer-2.qcow2", "layer-3.qcow2"]);
    expect(layersOf(good)).toEqual([]);
    for (const wrong of [
      [2],
      [2, 1],
      [1, 1],
      [0],
      [1, 3],
      Array.from({ length: 17 }, (_, index) => index + 1),
    ])
      expect(withLayers(...wrong).success, wrong.join(" ")).toBe(false);
  });
});
