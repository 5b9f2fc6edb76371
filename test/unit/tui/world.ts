/** A dashboard's state with something of everything, as at one moment. */
import { newState, type State } from "../../../cli/tui/state/state.ts";
import {
  type Capture,
  type ExecInfo,
  newHost,
  type SandboxInfo,
  type Snapshot,
} from "../../../client/index.ts";

export const now = Date.parse("2026-03-01T12:00:00.000Z");
const ago = (minutes: number): string => new Date(now - minutes * 60_000).toISOString();

export function exec(part: Partial<ExecInfo> = {}): ExecInfo {
  return {
    ...{ id: "e1", sandbox: "s1", argv: ["npm", "run", "dev"], cwd: null, user: null, tty: false },
    ...{ state: "running", startedAt: ago(12), endedAt: null, exit: null, captured: null, error: null },
    ...part,
  };
}

export function sandbox(part: Partial<SandboxInfo> = {}): SandboxInfo {
  return {
    ...{
      id: "s1",
      name: "web",
      state: "running",
      from: "node:24",
      snapshot: "090633d333b3d",
      isolation: "kvm",
    },
    ...{
      resources: { cpus: 1, memoryMib: 512, diskMib: 4096 },
      labels: {},
      createdAt: ago(12),
      frozen: false,
    },
    ...{
      reason: null,
      leased: false,
      thawMs: 24,
      cache: null,
      replay: null,
      network: { mode: "none", unavailable: null },
    },
    ...{ ports: [], listening: [3000], next: { action: "pause", at: new Date(now + 180_000).toISOString() } },
    ...{ expiresAt: null, idleMs: null, stopAfterMs: null, removeAfterMs: null, execs: [exec()] },
    ...part,
  };
}

export function snapshot(part: Partial<Snapshot> = {}): Snapshot {
  return {
    ...{ id: "090633d333b3d", tags: ["node:24"], template: "node", createdAt: ago(90) },
    resources: { cpus: 1, memoryMib: 512, diskMib: 4096 },
    needs: {
      ...{ runner: "qemu", build: "7.2.22", accelerator: "kvm", machine: "pc-q35-7.2", cpu: "Nehalem-v1" },
      ...{ kernel: "6.1.0-56", devices: "1" },
    },
    defaults: { env: {}, user: "root", workdir: "/root" },
    parts: [{ name: "memory", sizeBytes: 512 << 20, storedBytes: 96 << 20, sha256: "00" }],
    ...{ storedBytes: 529 << 20, usedBy: ["s1"], incompatible: [], packages: null },
    ...part,
  };
}

export function capture(part: Partial<Capture> = {}): Capture {
  return {
    ...{ schema: 1, id: "fail-7k2qxz", createdAt: ago(2), host: "ci-3", isolation: "kvm", trigger: "exit" },
    sandbox: { id: "s9", name: "run-1", labels: {} },
    base: { from: "node:24", snapshot: "090633d333b3d", digest: "00" },
    ...{ resources: { cpus: 1, memoryMib: 512, diskMib: 4096 }, needs: snapshot().needs },
    exec: {
      ...{
        id: "e9",
        argv: ["npm", "test"],
        cwd: "/work",
        user: null,
        tty: false,
        envNames: ["CI"],
        masked: [],
      },
      ...{ startedAt: ago(3), durationMs: 41_000 },
      exit: { code: 1, signal: null, oom: false, timedOut: false, durationMs: 41_000 },
      lastLines: [
        "  ✗ checkout › applies coupon (30 ms)",
        "    \x1b[31mexpected 90, got 100\x1b[0m",
        "    at checkout.test.ts:88:14",
      ],
    },
    ...{ crash: null, console: [], before: "workspace", workspace: null, egress: [] },
    processes: [{ pid: 14, parent: 1, uid: 0, state: "S", name: "node", command: "npm run dev" }],
    listening: [{ protocol: "tcp", address: "0.0.0.0", port: 3000, pid: 14 }],
    ci: {
      repository: "acme/shop",
      sha: "9f3c1e2aa",
      pr: "412",
      runId: "8812",
      attempt: "1",
      job: "test",
      step: "test",
    },
    ...{ changedBytes: { memory: 11 << 20, disk: 1 << 20 }, pauseMs: 30, fingerprint: "c0ffee0123456789" },
    ...{ disk: { writtenOut: true, asOf: null }, storedBytes: 12 << 20, replays: "memory" },
    notes: { verified: { ok: true, resumeMs: 400, at: ago(1) }, pinned: false, maxAgeMs: null, scan: null },
    ...part,
  };
}

/** A host with four sandboxes and three failures, and one that is offline. */
export function dashboard(size: State["size"]): State {
  const state = newState(["ci-3", "ci-4"], size, now);
  const sandboxes = [
    sandbox(),
    sandbox({
      id: "s2",
      name: "shop-pr-412",
      state: "paused",
      from: "shop:main",
      createdAt: ago(70),
      execs: [],
      listening: [8080],
    }),
    sandbox({
      id: "s3",
      name: "agent-日本語",
      isolation: "emulated (jailed)",
      from: "python:3",
      createdAt: ago(0.5),
      next: null,
      execs: [],
      listening: [],
    }),
    sandbox({
      id: "s4",
      name: "replay-7k2q",
      from: "fail-7k2qxz",
      createdAt: ago(0.1),
      next: null,
      listening: [],
      execs: [],
      replay: { capture: "fail-7k2qxz", level: "memory", exact: false },
    }),
  ];
  const captures = [
    capture(),
    capture({ id: "fail-5c0dab", createdAt: ago(180), trigger: "timeout", fingerprint: "badcafe012345678" }),
    capture({
      id: "fail-1a9xcd",
      createdAt: ago(2880),
      ci: null,
      replays: "disk",
      exec: null,
      trigger: "manual",
    }),
  ];
  const byId = <T extends { id: string }>(values: readonly T[]): Map<string, T> =>
    new Map(values.map((value) => [value.id, value]));
  return {
    ...state,
    hosts: [
      {
        ...newHost("ci-3"),
        ...{
          status: "here",
          sandboxes: byId(sandboxes),
          captures: byId(captures),
          snapshots: byId([snapshot()]),
        },
        usage: new Map([["s1", { cpuPercent: [10, 30, 60, 90, 40, 31], memoryBytes: [210 << 20] }]]),
        templates: [
          {
            name: "node",
            description: "Node.js 24",
            tag: "node:24",
            from: "bookworm",
            resources: snapshot().resources,
            snapshot: "090633d333b3d",
            ...{
              shipped: true,
              builtAt: "2026-01-01T00:00:00.000Z",
              storedBytes: 529 << 20,
              steps: [],
              packages: null,
            },
          },
        ],
      },
      {
        ...newHost("ci-4"),
        status: "offline",
        trouble: { message: "nobody listens there", hint: "ssh ci-4 thaw daemon start" },
      },
    ],
  };
}
