import { expect, test } from "vitest";
import type { Exec, Sandbox } from "../../api/schema.ts";
import { sandboxJson } from "../../daemon/sandbox-json.ts";

const exec: Exec = {
  ...{ id: "e", sandbox: "s", argv: ["true"], cwd: null, user: null, tty: false, state: "running" },
  ...{ startedAt: "1", endedAt: null, exit: null, captured: null, error: null },
};
const view: Sandbox = {
  ...{ id: "s", name: "web", state: "running", from: "base", snapshot: "0123456789abcdef" },
  resources: { cpus: 1, memoryMib: 256, diskMib: 1024 },
  ...{
    labels: {},
    createdAt: "1",
    reason: null,
    leased: false,
    thawMs: null,
    replay: null,
    cache: null,
    network: { mode: "none", unavailable: null },
    ports: [],
    listening: [],
    frozen: false,
  },
  ...{ isolation: "kvm", next: null, expiresAt: null, execs: [exec] },
  ...{ idleMs: null, stopAfterMs: null, removeAfterMs: null },
};

/** What a sandbox is from the start to the end. */
const FIXED: (keyof Sandbox)[] = ["id", "from", "resources", "createdAt", "replay", "cache"];

const changes: Partial<Sandbox>[] = [
  { name: "site" },
  { labels: { repo: "shop" } },
  { state: "paused" },
  { snapshot: "fedcba9876543210" },
  { reason: "idle" },
  { leased: true },
  { thawMs: 90 },
  { frozen: true },
  { isolation: "emulated (jailed)" },
  { next: { action: "pause", at: "2" } },
  { next: { action: "pause", at: "3" } },
  { expiresAt: "4" },
  ...[{ idleMs: 1 }, { stopAfterMs: 1 }, { removeAfterMs: 1 }],
  { ports: [{ address: null, port: 8080, path: null, guest: 80 }] },
  { ports: [{ address: null, port: null, path: "/run/a.sock", guest: 80 }] },
  { listening: [80] },
  { network: { mode: "open", unavailable: null } },
  { network: { mode: "open", unavailable: "too old" } },
  { execs: [] },
  { execs: [{ ...exec, state: "exited", endedAt: "2" }] },
  { execs: [{ ...exec, captured: { error: "no" } }] },
];

test("every change of a sandbox shows in its JSON", () => {
  const of = {};
  let now = view;
  for (const change of changes) {
    now = { ...now, ...change };
    expect(JSON.parse(sandboxJson(of, now).toString())).toEqual(now);
  }
  const changed = new Set(changes.flatMap((change) => Object.keys(change)));
  expect(
    Object.keys(view)
      .filter((key) => !changed.has(key))
      .sort(),
  ).toEqual([...FIXED].sort());
});
