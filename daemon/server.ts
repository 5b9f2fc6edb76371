/** The HTTP server: routes, errors, the OpenAPI document, and the WebSocket upgrades beside them. */
import swagger, { type FastifyDynamicSwaggerOptions } from "@fastify/swagger";
import { fastify, LogController } from "fastify";
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { defined } from "../api/defined.ts";
import { requestId } from "../api/text.ts";
import { EngineError } from "../engine/errors.ts";
import { randomId } from "../engine/ids.ts";
import { currentSpan } from "../engine/tracing.ts";
import { accessOf, needRights } from "./access/guard.ts";
import { askedBy } from "./caller.ts";
import { type Channels, serveChannels } from "./channels/upgrade.ts";
import type { App, DaemonContext } from "./context.ts";
import { refuseUnread, sendError } from "./errors.ts";
import { openApiOptions, operationOf, rightsOf } from "./openapi/document.ts";
import { auditRoutes } from "./routes/audit.ts";
import { cacheRoutes } from "./routes/caches.ts";
import { captureRoutes } from "./routes/captures.ts";
import { eventRoutes } from "./routes/events.ts";
import { execRoutes } from "./routes/execs.ts";
import { fileRoutes } from "./routes/files.ts";
import { infoRoutes } from "./routes/info.ts";
import { logRoutes } from "./routes/logs.ts";
import { mcpRoutes } from "./routes/mcp.ts";
import { networkRoutes } from "./routes/network.ts";
import { poolRoutes } from "./routes/pools.ts";
import { portRoutes } from "./routes/ports.ts";
import { previewRoutes } from "./routes/previews.ts";
import { pushRoutes } from "./routes/push.ts";
import { quarantineRoutes } from "./routes/quarantine.ts";
import { sandboxRoutes } from "./routes/sandboxes.ts";
import { sessionRoutes } from "./routes/sessions.ts";
import { snapshotRoutes } from "./routes/snapshots.ts";
import { statsRoutes } from "./routes/stats.ts";
import { templateRoutes } from "./routes/templates.ts";
import { tokenRoutes } from "./routes/tokens.ts";
import { travelRoutes } from "./routes/travel.ts";
import { refuseOlderSelf } from "./version.ts";

/** A JSON body: the longest command, where each byte is six in JSON, and more. Uploads stream and have no limit of their own. */
const BODY_LIMIT_BYTES = 16 << 20;

/** The document has a specification of its own. */
const anyObject = z.looseObject({});

/** Many clients name JSON with every request, also where they send nothing. */
function takeEmptyJson(app: App): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.removeContentTypeParser("application/json");
  app.addContentTypeParser<string>("application/json", { parseAs: "string" }, (request, text, done) =>
    text === "" ? done(null, undefined) : parse(request, text, done),
  );
}

export async function createServer(context: DaemonContext): Promise<{ app: App; channels: Channels }> {
  const app: App = fastify({
    bodyLimit: BODY_LIMIT_BYTES,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: "request" }),
    logger: {
      ...{ level: "info", base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` },
      formatters: { level: (level) => ({ level }) },
      mixin: () => defined({ traceparent: currentSpan() }),
    },
    genReqId: ({ headers }) => requestId.safeParse(headers["thaw-request"]).data ?? randomId(),
    routerOptions: { maxParamLength: 400 },
    forceCloseConnections: true,
    clientErrorHandler: refuseUnread,
    // What fails before there is a route: a path that is not encoded as one, say.
    frameworkErrors: (error, _request, reply) => sendError(reply, error),
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  takeEmptyJson(app);
  app.setErrorHandler((error, request, reply) => {
    if ((error as { statusCode?: number }).statusCode === undefined && !(error instanceof EngineError))
      request.log.error({ err: error }, "request failed");
    sendError(reply, error);
  });
  app.setNotFoundHandler((request, reply) => {
    const asked = `${request.method} ${request.url.slice(0, 200)}`;
    sendError(
      reply.header("thaw-no-route", "1"),
      new EngineError("not-found", `this daemon does not know ${asked}`),
    );
  });
  app.addHook("onRequest", async (request, reply) => {
    void reply.header("thaw-version", context.version.version);
    if (context.restartCommand !== undefined) void reply.header("thaw-restart", context.restartCommand);
    // A newer client must be able to end this daemon.
    if (!request.url.startsWith("/v1/shutdown")) refuseOlderSelf(context, request.headers);
  });
  // Before the body is read.
  app.addHook("onRequest", async ({ raw, routeOptions: { method, url } }) => {
    if (accessOf(raw) !== undefined && url !== undefined)
      needRights(raw, rightsOf({ method: String(method), url }));
  });
  // Twice: reading a body loses what the first carries along.
  app.addHook("onRequest", (request, _reply, done) => askedBy(context, request.raw, done));
  app.addHook("preValidation", (request, _reply, done) => askedBy(context, request.raw, done));
  await app.register(
    swagger,
    openApiOptions(context.version.version) as unknown as FastifyDynamicSwaggerOptions,
  );
  app.addHook("onRoute", (route) => {
    // Fastify answers HEAD for every GET.
    if (route.method !== "HEAD") operationOf(route);
  });
  await app.register(async (plugin) => {
    const routes = plugin.withTypeProvider<ZodTypeProvider>() as App;
    for (const add of [
      ...[infoRoutes, templateRoutes, snapshotRoutes, sandboxRoutes],
      ...[
        execRoutes,
        logRoutes,
        fileRoutes,
        eventRoutes,
        captureRoutes,
        cacheRoutes,
        poolRoutes,
        travelRoutes,
        auditRoutes,
        pushRoutes,
        quarantineRoutes,
        networkRoutes,
        portRoutes,
        previewRoutes,
        statsRoutes,
        tokenRoutes,
        sessionRoutes,
        mcpRoutes,
      ],
    ])
      add(routes, context);
    routes.get(
      "/v1/openapi.json",
      { schema: { response: { 200: anyObject } } },
      async () => app.swagger() as never,
    );
  });
  const channels = serveChannels(context, app.log);
  app.server.on("upgrade", channels.upgrade);
  app.addHook("preClose", async () => channels.close());
  return { app, channels };
}
