import { hostname } from "node:os";
import { daemonInfo, doctorReport } from "../api/schema.ts";
import type { App, DaemonContext } from "../context.ts";

export function infoRoutes(app: App, { engine, version, startedAt, shutDown }: DaemonContext): void {
  app.get("/v1/info", { schema: { response: { 200: daemonInfo } } }, async () => ({
    version: version.version,
    digest: version.digest,
    host: hostname(),
    pid: process.pid,
    home: engine.home.root,
    startedAt,
    sandboxes: engine.sandboxes.length,
    rssBytes: process.memoryUsage.rss(),
  }));

  app.get("/v1/doctor", { schema: { response: { 200: doctorReport } } }, async () => {
    const probes = await engine.doctor();
    return { ready: !probes.some(({ fatal, state }) => fatal && state === "missing"), probes };
  });

  app.post("/v1/shutdown", async (_request, reply) => {
    reply.raw.once("finish", shutDown);
    return reply.code(202).send();
  });
}
