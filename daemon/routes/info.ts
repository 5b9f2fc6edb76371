import { hostname } from "node:os";
import { z } from "zod";
import { daemonInfo, diskUse, doctorReport, hostLimits } from "../../api/schema.ts";
import type { App, DaemonContext } from "../context.ts";

/** Only a build made before this time (ms since 1970) ends: several newer clients may ask. */
const shutdownQuery = z.object({ olderThan: z.coerce.number().optional() });

export function infoRoutes(
  app: App,
  { engine, ownProbes, version, startedAt, shutDown }: DaemonContext,
): void {
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
    const probes = [...(await engine.doctor()), ...(await ownProbes())];
    return { ready: !probes.some(({ fatal, state }) => fatal && state === "missing"), probes };
  });

  app.get("/v1/limits", { schema: { response: { 200: hostLimits } } }, async () => engine.limits());

  app.get("/v1/disk", { schema: { response: { 200: diskUse } } }, () => engine.diskUse());

  app.post("/v1/shutdown", { schema: { querystring: shutdownQuery } }, async (request, reply) => {
    const { olderThan = Number.POSITIVE_INFINITY } = request.query;
    if (version.built >= olderThan) return reply.code(204).send();
    reply.raw.once("finish", shutDown);
    return reply.code(202).send();
  });
}
