/** Who follows a host, against a server that answers as its daemon does. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { formatBottom } from "../../../cli/tui/draw/bottom.ts";
import { HostFollower } from "../../../cli/tui/follow/host.ts";
import { PaneFollower } from "../../../cli/tui/follow/pane.ts";
import { newState } from "../../../cli/tui/state/state.ts";
import { Store } from "../../../cli/tui/state/store.ts";
import { Thaw } from "../../../client/index.ts";
import { openMadeUpHost } from "../../helpers/made-up-host.ts";

const SANDBOXES = 300;
const CAPTURES = 1200;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync("/tmp/thaw-follow-");
  vi.stubEnv("THAW_HOME", join(folder, "home"));
  vi.stubEnv("THAW_SOCKET", join(folder, "socket"));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

test("every change arrives, and a flood of them in one list does not read the others again", async () => {
  await using host = await openMadeUpHost({
    ...{ socket: join(folder, "socket"), sandboxes: SANDBOXES, captures: CAPTURES },
  });
  const store = new Store(newState(["local"], { cols: 80, rows: 24 }, Date.now()));
  const abort = new AbortController();
  const follower = new HostFollower({ store, context: "local", remote: undefined, signal: abort.signal });
  const following = follower.follow();
  const seen = () => store.state.hosts[0];
  try {
    await vi.waitFor(() => expect(seen()?.captures.size).toBe(CAPTURES), { timeout: 60_000 });
    expect(seen()?.sandboxes.size).toBe(SANDBOXES);
    await vi.waitFor(() => expect(host.asked.get("/v1/events")).toBe(1), { timeout: 60_000 });
    for (let change = 0; change < SANDBOXES; change++) await host.change();
    const states = [...host.sandboxes.values()].map(({ state }) => state);
    expect(new Set(states)).toEqual(new Set(["paused"]));
    await vi.waitFor(
      () => expect([...(seen()?.sandboxes.values() ?? [])].map(({ state }) => state)).toEqual(states),
      { timeout: 60_000 },
    );
    // two pages, once
    expect(host.asked.get("/v1/captures")).toBe(2);
  } finally {
    abort.abort();
    await follower.close();
    store.close();
    await following;
  }
});

test("a daemon that hangs while it is followed is said to be silent and its lists are read, until something comes from it", async () => {
  await using host = await openMadeUpHost({ socket: join(folder, "socket"), sandboxes: 1, captures: 0 });
  const store = new Store(newState(["local"], { cols: 80, rows: 24 }, Date.now()));
  const abort = new AbortController();
  const follower = new HostFollower({ store, context: "local", remote: undefined, signal: abort.signal });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const following = follower.follow();
  const seen = () => store.state.hosts[0];
  try {
    await vi.waitFor(() => expect(host.asked.get("/v1/events")).toBe(1), { timeout: 60_000, interval: 5 });
    vi.advanceTimersByTime(60_000);
    expect(seen()?.trouble?.message).toContain("no data for 40 s");
    expect(formatBottom(store.state, 1).join()).toContain("local: no data for");
    const reads = () => host.asked.get("/v1/sandboxes");
    await vi.waitFor(() => expect(reads()).toBe(2), { timeout: 60_000, interval: 5 });
    await vi.advanceTimersByTimeAsync(40_000);
    await vi.waitFor(() => expect(reads()).toBe(3), { timeout: 60_000, interval: 5 });
    await host.change();
    await vi.waitFor(() => expect(seen()?.trouble).toBeUndefined(), { timeout: 60_000, interval: 5 });
    expect(seen()?.status).toBe("here");
  } finally {
    vi.useRealTimers();
    abort.abort();
    await follower.close();
    store.close();
    await following;
  }
});

test("a pane that could not be read is read again while it is shown, and anew when its host is back", async () => {
  const store = new Store(newState(["local"], { cols: 80, rows: 24 }, Date.now()));
  const client = new Thaw({ autostart: false });
  const panes = new PaneFollower(store, () => client);
  let reads = 0;
  const pane = {
    title: "Log",
    async *follow() {
      reads += 1;
      if (reads === 1) throw new Error("the guest does not answer");
      yield { lines: [[{ text: `read ${reads}` }]], anew: true };
    },
  };
  const row = { key: "local/s1", context: "local", name: "web", text: "" };
  const show = (): void => panes.show(pane, row);
  const lines = () => store.state.pane.lines.flat().map(({ text }) => text);
  store.subscribe(show);
  try {
    show();
    await vi.waitFor(
      () => expect(store.state.pane.trouble?.message).toBe("the guest does not answer"),
      60_000,
    );
    await vi.waitFor(() => expect(lines()).toEqual(["read 2"]), 60_000);
    expect(store.state.pane.trouble).toBeUndefined();
    store.setHost("local", (host) => ({ ...host, status: "offline" }));
    store.tellNow();
    expect(lines()).toEqual(["read 2"]);
    store.setHost("local", (host) => ({ ...host, status: "here" }));
    await vi.waitFor(() => expect(lines()).toEqual(["read 3"]), 60_000);
  } finally {
    panes.close();
    store.close();
    await client.close();
  }
});
