/** The daemon's process: lock, engine, server, signals. Started by clients from its installed copy; see docs/API.md. */
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { basename, dirname, join } from "node:path";
import type { Duplex } from "node:stream";
import { parseArgs } from "node:util";
import { defined } from "../api/defined.ts";
import { Engine } from "../engine/engine.ts";
import { measurePace, paced, setPace } from "../host/pace.ts";
import { HOST_UNIT, userUnit } from "../host/systemd-units.ts";
import { createGvisorRunner } from "../runners/gvisor/runner.ts";
import { createQemuRunner } from "../runners/qemu/runner.ts";
import { Runners } from "../runners/runners.ts";
import { innerApi } from "./access/inner-api.ts";
import { apiListener } from "./access/listener.ts";
import { PageAddress } from "./access/page-address.ts";
import { withFlags } from "./access/settings.ts";
import { Tokens } from "./access/tokens.ts";
import type { Version } from "./context.ts";
import { closeInherited } from "./inherited.ts";
import { describeHolder, lockHome } from "./lock.ts";
import { metricsListener } from "./metrics/listener.ts";
import { Previews } from "./preview/previews.ts";
import { pruneVersions } from "./prune-versions.ts";
import { Requests } from "./requests.ts";
import { keepLogShort } from "./rotate-log.ts";
import { createServer } from "./server.ts";
import { findRestartCommand, tellSystemdReady } from "./systemd.ts";
import { Traces } from "./traces/traces.ts";

const OOM_SCORE = -500;

const { values } = parseArgs({
  options: {
    ...{ home: { type: "string" }, socket: { type: "string" }, group: { type: "string" } },
    "preview-listen": { type: "string" },
  },
});
const { home, socket, group } = values;
if (home === undefined || socket === undefined) fail("usage: daemon --home DIR --socket PATH [--group NAME]");
process.title = "thaw-daemon";
setPace(measurePace());
lowerOomScore();
closeInherited();

const lock = await lockHome(home, socket).catch((error: Error) =>
  fail(`can't lock ${home}: ${error.message}`),
);
// Another daemon won the race and serves this socket.
if (lock === "served") {
  await tellSystemdReady();
  process.exit(0);
}
if (lock !== "held") fail(describeHolder(home, lock.holder));

// The folder of the entry: this file is in a chunk beside it.
const installed = dirname(realpathSync(process.argv[1] ?? ""));
const version: Version = JSON.parse(readFileSync(join(installed, "version.json"), "utf8"));
const runtimeRoot = dirname(socket);
mkdirSync(runtimeRoot, { recursive: true, mode: 0o711 });
const jail = process.env.THAW_JAIL;
const agentPath = join(installed, "agent", "thaw-agent");

const engine = await Engine.open({
  homePath: home,
  templatesDir: join(installed, "templates"),
  agentPath,
  scanPath: join(installed, "scan.mjs"),
  hostSockets: {
    // Its clients are other users, and it is root: it opens nothing that they name.
    refused: group === undefined ? null : "a daemon that several users share creates no sockets for them",
    ownFolders: [home, runtimeRoot].map((folder) => realpathSync(folder)),
  },
  runner: new Runners([
    createQemuRunner({
      ...{ home, agentPath, runtimeRoot },
      sealPath: join(installed, "agent", "thaw-seal"),
      ...(jail === "off" || jail === "required" ? { jail } : {}),
      unjailedImports: process.env.THAW_UNJAILED_IMPORTS === "1",
    }),
    createGvisorRunner({ home, agentPath, runtimeRoot, keeperPath: join(installed, "agent", "thaw-keeper") }),
  ]),
}).catch((error: Error & { hint?: string; details?: string[] }) =>
  fail([error.message, ...(error.details ?? []), ...(error.hint ? [`hint: ${error.hint}`] : [])].join("\n")),
);

const previews = new Previews({
  engine,
  listen: values["preview-listen"] ?? process.env.THAW_PREVIEW_LISTEN,
});
const onFailure = (message: string): void => server.log.warn(message);
const metrics = metricsListener({ source: engine, version: version.version, onFailure });
const traces = new Traces({ version: version.version, environment: process.env });
const tokens = new Tokens(engine.home.tokens);
const toRoutes = {
  tokens,
  handle: (request: IncomingMessage, response: ServerResponse) => server.routing(request, response),
  upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) =>
    channels.upgrade(request, socket, head),
};
const api = apiListener({ ...toRoutes, pageFolder: join(installed, "web"), onFailure });
const page = new PageAddress({
  listener: api,
  file: join(home, "page.json"),
  hasSessions: tokens.hasSessions,
});
const { app: server, channels } = await createServer({
  engine,
  previews,
  tokens,
  page,
  connectAs: innerApi(toRoutes),
  ownProbes: async () => [...(await api.probes()), ...(await metrics.probes()), ...(await traces.probes())],
  requests: new Requests(engine),
  version,
  startedAt: new Date().toISOString(),
  shutDown,
  group: group ?? null,
  restartCommand: findRestartCommand(),
});
// Whoever finds this daemon finds its ports as well.
await engine.openPorts();
await previews.begin().catch((error: Error) => server.log.warn({ err: error }, "previews"));
engine.followConfig((config) => {
  metrics.configure(config.metrics.listen);
  traces.configure(config.telemetry);
  page.configure(withFlags(config.listen, listenFlags()));
});
if (!removeSocket(socket))
  fail(`${socket} is not a socket\nhint: remove it, or set THAW_SOCKET to another path`);
await server.listen({ path: socket });
void engine.begin();
keepLogShort();
if (group === undefined) chmodSync(socket, 0o600);
else openToGroup(socket, group);
void tellSystemdReady();
void pruneVersions({
  ...{ versions: dirname(installed), own: basename(installed), node: realpathSync(process.execPath) },
  units: [HOST_UNIT, userUnit()],
});
server.log.info(
  {
    version: version.version,
    digest: version.digest,
    home,
    pid: process.pid,
    sandboxes: engine.sandboxes.length,
  },
  "ready",
);

for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, shutDown);
process.on("uncaughtExceptionMonitor", (error) => server.log.fatal({ err: error }, "the daemon ends"));
process.on("unhandledRejection", (error) => server.log.error({ err: error }, "unhandled rejection"));

let leaving = false;
function shutDown(): void {
  if (leaving) return;
  leaving = true;
  server.log.info("stopping; machines keep running");
  removeSocket(socket as string);
  setTimeout(() => process.exit(0), paced(5000)).unref();
  previews.close();
  metrics.close();
  api.close();
  void Promise.allSettled([server.close(), engine.close()])
    .then(() => traces.close())
    .then(() => process.exit(0));
}

/** Of `thaw daemon start`. */
function listenFlags(): Parameters<typeof withFlags>[1] {
  const { THAW_LISTEN: address, THAW_TLS_CERT: tlsCert, THAW_TLS_KEY: tlsKey } = process.env;
  return defined({ address, tlsCert, tlsKey });
}

/** Removes a socket. False when something else is there, which is left alone. */
function removeSocket(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.isSocket() === true) rmSync(path, { force: true });
  return found === undefined || found.isSocket();
}

/** The kernel ends others first when memory runs out. Not allowed to everyone. */
function lowerOomScore(): void {
  try {
    if (Number(readFileSync("/proc/self/oom_score_adj", "utf8")) > OOM_SCORE)
      writeFileSync("/proc/self/oom_score_adj", String(OOM_SCORE));
  } catch {
    // Machines raise theirs: they still go first.
  }
}

/** Lets a group's members in, and nobody else. */
function openToGroup(path: string, name: string): void {
  const line = readFileSync("/etc/group", "utf8")
    .split("\n")
    .find((one) => one.startsWith(`${name}:`));
  const gid = Number(line?.split(":")[2]);
  if (!Number.isInteger(gid)) fail(`there is no group ${name}\nhint: groupadd --system ${name}`);
  chmodSync(path, 0o600);
  chownSync(path, 0, gid);
  chmodSync(path, 0o660);
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
