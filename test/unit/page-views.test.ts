/** What the page's views make of forms, rules, output and builds. */
import { expect, test } from "vitest";
import type { Snapshot } from "../../api/schema.ts";
import { holdersOf, ownBytes, sharedBytes } from "../../client/follow/shares.ts";
import { graphPoints } from "../../web/parts/graph.tsx";
import { Tail } from "../../web/parts/tail.ts";
import { EMPTY, readFields } from "../../web/views/sandboxes/create-request.ts";
import { readTimers, timersOf } from "../../web/views/sandboxes/timers.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("an empty form asks for the template base, and nothing else", () => {
  expect(readFields(EMPTY)).toEqual({
    request: { source: { template: "base" } },
    args: ["create"],
    mistakes: {},
  });
});

test("a form is a request and the command that does the same; what is wrong is in neither", () => {
  const filled = {
    ...{ ...EMPTY, source: "snapshot shop:main", name: "web", cpus: "2", memory: "2G", ttl: "1h30m" },
    ...{ network: "audit", allow: " @npm\n*.example.com ", labels: "repo=shop pr=4=2" },
  };
  expect(readFields(filled)).toEqual({
    request: {
      ...{ source: { snapshot: "shop:main" }, name: "web", cpus: 2, memoryMib: 2048, ttlMs: 5_400_000 },
      labels: { repo: "shop", pr: "4=2" },
      network: [{ mode: "audit", allow: ["@npm", "*.example.com"], from: "page" }],
    },
    args: [
      ...[
        "create",
        "--snapshot",
        "shop:main",
        "--name",
        "web",
        "--cpus",
        "2",
        "--memory",
        "2G",
        "--ttl",
        "1h30m",
      ],
      ...["--network", "audit", "--allow", "@npm", "--allow", "*.example.com", "--label", "repo=shop"],
      ...["--label", "pr=4=2"],
    ],
    mistakes: {},
  });
  const wrong = { ...EMPTY, name: "Web", cpus: "0", memory: "1", ttl: "soon", labels: "=x" };
  const { request, args, mistakes } = readFields(wrong);
  expect([request, args]).toEqual([{ source: { template: "base" } }, ["create"]]);
  expect(Object.keys(mistakes).sort()).toEqual(["cpus", "labels", "memory", "name", "ttl"]);
});

test("a tail keeps the last lines, over chunks that cut a letter, and its lines are bounded", () => {
  const tail = new Tail(2);
  const text = bytes("one\ntwo\nthree ü");
  tail.push(text.subarray(0, text.length - 1));
  tail.push(text.subarray(text.length - 1));
  expect(tail.lines).toEqual(["one", "two", "three ü"]);
  tail.push(bytes("\nfour\n"));
  expect(tail.lines).toEqual(["three ü", "four"]);
  tail.push(bytes("x".repeat(100_000)));
  tail.push(bytes("x".repeat(100_000)));
  expect(tail.lines.at(-1)?.length).toBeLessThan(5000);
});

test("a graph's line ends at the right, and stays within its picture", () => {
  expect(graphPoints([0, 50, 500], 100, 3)).toBe("0.0,17.0 32.0,9.0 64.0,1.0");
  expect(graphPoints([50], 0, 16)).toBe("64.0,17.0");
});

test("what snapshots share is not freed by the removal of one of them", () => {
  const part = (sha256: string, storedBytes: number) => ({ name: sha256, sha256, storedBytes, sizeBytes: 1 });
  const of = (...parts: ReturnType<typeof part>[]): Pick<Snapshot, "parts"> => ({ parts });
  const one = of(part("a", 10), part("b", 5));
  const other = of(part("a", 10), part("c", 3));
  const holders = holdersOf([one, other]);
  expect([ownBytes([one], holders), sharedBytes(one, holders)]).toEqual([5, 10]);
  expect(ownBytes([one, other], holders)).toBe(18);
});

test("only timers that were changed are set; an empty one is never", () => {
  const sandbox = {
    ...{ name: "web", createdAt: "2026-01-01T00:00:00Z", expiresAt: "2026-01-01T01:30:00Z" },
    ...{ idleMs: 900_000, stopAfterMs: null, removeAfterMs: 90_061_001 },
  };
  const now = { ttl: "1h30m", idle: "15m", stopAfter: "", removeAfter: "1d1h1m1s1ms" };
  expect(timersOf(sandbox)).toEqual(now);
  expect(readTimers(sandbox, now)).toEqual({ request: {}, args: ["set", "web"], mistakes: {} });
  expect(readTimers(sandbox, { ttl: " 2h ", idle: "", stopAfter: "soon" })).toEqual({
    request: { ttlMs: 7_200_000, idleMs: null },
    args: ["set", "web", "--ttl", "2h", "--idle", "never"],
    mistakes: { stopAfter: expect.stringContaining("not a duration") },
  });
});
