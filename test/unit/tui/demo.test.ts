/** The README's picture: what the dashboard draws while somebody looks at a failure. `vitest run --project unit test/unit/tui -u` writes it anew. */
import { renderToString } from "ink";
import { createElement } from "react";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Frame } from "../../../cli/tui/draw/dashboard.tsx";
import type { State } from "../../../cli/tui/state/state.ts";
import { failures } from "../../../cli/tui/views/failures/view.ts";
import { drawSvg } from "./svg.ts";
import { capture, dashboard, sandbox } from "./world.ts";

const size = { cols: 100, rows: 26 };

beforeAll(() => {
  vi.stubEnv("NO_COLOR", undefined);
  vi.stubEnv("FORCE_COLOR", "1");
});
afterAll(() => {
  vi.unstubAllEnvs();
});

function frames(): State[] {
  const base = dashboard(size);
  const [host] = base.hosts;
  const failed = host?.captures.get("fail-7k2qxz");
  if (host === undefined || failed?.exec == null) throw new Error("no failure");
  const { exec } = failed;
  const green = capture({
    id: "capture-x4p9",
    createdAt: "2026-03-01T09:00:00.000Z",
    trigger: "manual",
    exec: {
      ...exec,
      exit: { code: 0, signal: null, oom: false, timedOut: false, durationMs: 38_000 },
      durationMs: 38_000,
      lastLines: ["  ✓ checkout › applies coupon (28 ms)", "all 212 tests passed"],
    },
    fingerprint: "aaaa",
    listening: [],
  });
  const sandboxes = new Map(
    [...host.sandboxes].map(([id, each]) => [id, { ...each, name: each.name.replace("日本語", "4") }]),
  );
  const captures = new Map([...host.captures, [green.id, green]]);
  const hosts = [
    { ...host, sandboxes, captures },
    { ...host, context: "ci-4", captures: new Map() },
  ].map((each, index) => (index === 0 ? each : { ...each, sandboxes: new Map(), snapshots: new Map() }));
  const log = [
    "ready - started server on 0.0.0.0:3000",
    "GET /cart 200 in 41ms",
    "GET /checkout 500 in 12ms",
  ].map((text) => [{ text }]);
  const start: State = { ...base, hosts };
  const web: State = {
    ...start,
    lists: { ...start.lists, sandboxes: { ...start.lists.sandboxes, selected: "ci-3/s1" } },
    pane: { ...start.pane, of: "Log ci-3/s1", lines: log },
  };
  const inFailures: State = {
    ...start,
    view: "failures",
    lists: { ...start.lists, failures: { ...start.lists.failures, selected: "ci-3/fail-7k2qxz" } },
  };
  const at = (title: string): State => ({
    ...inFailures,
    pane: {
      ...start.pane,
      index: failures.panes.findIndex((pane) => pane.title === title),
      isFull: title === "Compare",
    },
  });
  const rerun = { count: 20, done: 16, failed: 5 };
  const replay = sandbox({
    ...{ id: "s5", name: "replay-x1", from: "fail-7k2qxz", listening: [], execs: [], next: null },
    ...{
      createdAt: "2026-03-01T11:59:58.000Z",
      replay: { capture: "fail-7k2qxz", level: "memory", exact: false },
    },
  });
  return [
    web,
    inFailures,
    { ...at("Case"), reruns: new Map([["ci-3/fail-7k2qxz", rerun]]) },
    at("Compare"),
    {
      ...at("Lineage"),
      hosts: hosts.map((each, index) =>
        index === 0 ? { ...each, sandboxes: new Map([...sandboxes, ["s5", replay]]) } : each,
      ),
    },
    {
      ...inFailures,
      overlay: "jobs",
      jobs: [
        { id: 1, command: "thaw rerun fail-7k2qxz -n 20", state: "done", startedAt: 0, output: ["flaky"] },
        { id: 2, command: "thaw replay fail-7k2qxz", state: "running", startedAt: 0, output: [] },
      ],
    },
  ];
}

test("the picture is what is drawn", async () => {
  const drawn = frames().map((state) => ({
    lines: renderToString(createElement(Frame, { state }), { columns: size.cols }).split("\n"),
  }));
  for (const { lines } of drawn) expect(lines).toHaveLength(size.rows);
  await expect(drawSvg(drawn, { ...size, secondsEach: 3 })).toMatchFileSnapshot(
    "../../../docs/dashboard/demo.svg",
  );
});
