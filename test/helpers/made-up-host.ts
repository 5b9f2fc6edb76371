/** A server that answers as the daemon of a host with many sandboxes and failures does, as far as the dashboard asks. */

import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import { captureList, capture as captureSchema } from "../../api/capture.ts";
import { event as eventSchema } from "../../api/event.ts";
import { daemonInfo, doctorReport } from "../../api/host.ts";
import { statsSample } from "../../api/machine.ts";
import { pageQuery } from "../../api/page.ts";
import { sandboxList, sandbox as sandboxSchema } from "../../api/sandbox.ts";
import { snapshotList } from "../../api/snapshot.ts";
import type { Capture, SandboxInfo } from "../../client/index.ts";
import { pageOf } from "../../daemon/page.ts";
import { capture, sandbox } from "../unit/tui/world.ts";

const HOUR_MS = 3_600_000;

export interface MadeUpHost extends AsyncDisposable {
  socket: string;
  /** Its sandboxes as they are now, by id. */
  sandboxes: ReadonlyMap<string, SandboxInfo>;
  /** How often each path was asked for. */
  asked: ReadonlyMap<string, number>;
  /** A sandbox is paused, or goes on, and an event says so. Resolves when the listeners have room for more. */
  change(): Promise<void>;
}

/** The name of the sandbox in a row of the dashboard's list, counted from 0. */
export function nameOf(row: number): string {
  return `job-${String(row).padStart(4, "0")}`;
}

/** Old enough that no age on the screen changes while something is measured. */
function makeSandboxes(count: number): SandboxInfo[] {
  return Array.from({ length: count }, (_, index) =>
    sandboxSchema.parse(
      sandbox({
        ...{ id: `madeup${String(index).padStart(5, "0")}`, name: nameOf(index) },
        labels: { repository: "acme/shop", run: String(index) },
        createdAt: new Date(Date.now() - 100 * HOUR_MS - index * 1000).toISOString(),
        ...{ next: null, execs: [], listening: [3000] },
      }),
    ),
  );
}

function makeCaptures(count: number): Capture[] {
  const digest = "0".repeat(64);
  return Array.from({ length: count }, (_, index) =>
    captureSchema.parse(
      capture({
        id: `fail-${index.toString(36).padStart(6, "0")}`,
        createdAt: new Date(Date.now() - 100 * HOUR_MS - index * 1000).toISOString(),
        base: { from: "node:24", snapshot: "090633d333b3d", digest },
        fingerprint: (index % 50).toString(16).padStart(16, "0"),
      }),
    ),
  );
}

export async function openMadeUpHost({
  socket,
  sandboxes: sandboxCount,
  captures: captureCount,
}: {
  socket: string;
  sandboxes: number;
  captures: number;
}): Promise<MadeUpHost> {
  const sandboxes = new Map(makeSandboxes(sandboxCount).map((each) => [each.id, each]));
  const ids = [...sandboxes.keys()];
  const captures = makeCaptures(captureCount);
  const listeners = new Set<ServerResponse>();
  const asked = new Map<string, number>();
  let lastEvent = 1;

  const answers: Record<string, (query: object) => unknown> = {
    "/v1/info": () =>
      daemonInfo.parse({
        ...{ version: "0.0.0", digest: "", host: "made-up", pid: process.pid, home: "/nonexistent" },
        ...{ startedAt: new Date().toISOString(), sandboxes: sandboxes.size, rssBytes: 1 },
      }),
    "/v1/doctor": () => doctorReport.parse({ ready: true, probes: [] }),
    "/v1/sandboxes": (query) => {
      const sorting = { idOf: ({ id }: SandboxInfo) => id, createdAt: (each: SandboxInfo) => each.createdAt };
      const { items, next } = pageOf([...sandboxes.values()], pageQuery.parse(query), sorting);
      return { sandboxes: items, lastEvent, next };
    },
    "/v1/captures": (query) => {
      const sorting = { idOf: ({ id }: Capture) => id, createdAt: (each: Capture) => each.createdAt };
      const { items, next } = pageOf(captures, pageQuery.parse(query), { ...sorting, newestFirst: true });
      return { captures: items, unreadable: [], lastEvent, next };
    },
    "/v1/snapshots": () => ({ snapshots: [], lastEvent, next: null }),
    "/v1/templates": () => ({ templates: [] }),
  };
  sandboxList.parse(answers["/v1/sandboxes"]?.({}));
  captureList.parse(answers["/v1/captures"]?.({ limit: 1000 }));
  snapshotList.parse(answers["/v1/snapshots"]?.({}));

  const sample = statsSample.parse({
    time: new Date().toISOString(),
    host: { memoryMib: 65_536, availableMib: 32_768, cpus: 16 },
    sandboxes: [...sandboxes.values()].map(({ id, name, state, createdAt }) => ({
      ...{
        id,
        name,
        state,
        createdAt,
        pssBytes: 100 << 20,
        rssBytes: 200 << 20,
        cpuMs: 1000,
        cpuPercent: 30,
      },
    })),
  });

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://made-up");
    const json = (status: number, value: unknown): void => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    };
    asked.set(url.pathname, (asked.get(url.pathname) ?? 0) + 1);
    const answer = answers[url.pathname];
    const one = sandboxes.get(url.pathname.slice("/v1/sandboxes/".length));
    if (answer !== undefined) json(200, answer(Object.fromEntries(url.searchParams)));
    else if (one !== undefined) json(200, one);
    else if (url.pathname === "/v1/stats") {
      response.writeHead(200, { "content-type": "application/x-ndjson" });
      response.write(`${JSON.stringify(sample)}\n`);
    } else if (url.pathname === "/v1/events") {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(`id: ${lastEvent}\n\n`);
      listeners.add(response);
      response.once("close", () => listeners.delete(response));
    } else json(404, { error: { code: "not-found", message: `there is no ${url.pathname}` } });
  });
  server.listen(socket);
  await once(server, "listening");

  return {
    ...{ socket, sandboxes, asked },
    change: async () => {
      lastEvent += 1;
      const id = ids[(lastEvent * 7) % ids.length] ?? "";
      const before = sandboxes.get(id);
      if (before === undefined) return;
      const state = before.state === "running" ? "paused" : "running";
      sandboxes.set(id, { ...before, state });
      const told = eventSchema.parse({
        ...{ id: lastEvent, time: new Date().toISOString(), type: `sandbox.${state}` },
        ...{ target: id, name: before.name, sandbox: id, details: {} },
      });
      const text = `id: ${told.id}\nevent: ${told.type}\ndata: ${JSON.stringify(told)}\n\n`;
      await Promise.all(
        [...listeners].map(async (listener) => {
          if (listener.write(text)) return;
          const done = new AbortController();
          const { signal } = done;
          const waits = ["drain", "close"].map((name) => once(listener, name, { signal }));
          await Promise.race(waits);
          done.abort();
          await Promise.allSettled(waits);
        }),
      );
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(socket, { force: true });
    },
  };
}
