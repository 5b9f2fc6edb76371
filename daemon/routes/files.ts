/** Bytes in and out of a sandbox. Streams pass through; no path of the host is ever opened here. */

import { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { defined } from "../../api/defined.ts";
import { attributesFlag, fileEntry, treeFormat, treeReport } from "../../api/schema.ts";
import { keepTree } from "../../engine/captures/workspace.ts";
import { EngineError } from "../../engine/errors.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import type { App, DaemonContext } from "../context.ts";
import { readTree, TAR_TYPE, tarOf, wantsTar } from "../tar.ts";

const params = z.object({ sandbox: z.string().max(200) });
const path = z.string().min(1).max(4096).startsWith("/", "an absolute path inside the sandbox");
/** What of an archive could not be unpacked. */
const leftOut = z.object({ path: z.string(), reason: z.string() });
const octal = z
  .string()
  .regex(/^[0-7]{3,4}$/, "an octal mode such as 644")
  .transform((text) => Number.parseInt(text, 8));

export function fileRoutes(app: App, context: DaemonContext): void {
  // Apart from the other routes: here a body is bytes, whatever type it says it has. A JSON file is not parsed.
  void app.register(async (plugin) => {
    plugin.removeAllContentTypeParsers();
    plugin.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
    addRoutes(plugin as App, context);
  });
}

/** Gives `send` the request's body. None at all is an empty one. */
async function upload<T>(request: FastifyRequest, send: (body: Readable) => Promise<T>): Promise<T> {
  try {
    return await send((request.body as Readable | null | undefined) ?? Readable.from([]));
  } catch (error) {
    // A sandbox that ended takes no more of the body, which looks as if the client had gone.
    if (error instanceof EngineError) throw error;
    if (request.raw.destroyed && !request.raw.complete)
      throw new EngineError("cancelled", "the client went away during its upload", { cause: error });
    throw error;
  }
}

function addRoutes(app: App, { engine }: DaemonContext): void {
  /** It is in use, and so not idle, until the answer is sent. */
  const reach = <T>(
    { sandbox }: { sandbox: string },
    reply: FastifyReply,
    work: (agent: Agent) => Promise<T>,
  ): Promise<T> => {
    const found = engine.sandbox(sandbox);
    reply.raw.once("close", found.acquireUse());
    return found.use("files", work);
  };
  /** What breaks off because the sandbox ended or was removed meanwhile breaks off with that. */
  const explained = ({ sandbox }: { sandbox: string }, bytes: AsyncIterable<Buffer>): Readable => {
    const found = engine.sandbox(sandbox);
    const pieces = async function* () {
      try {
        yield* bytes;
      } catch (error) {
        throw await found.explain(error);
      }
    };
    return Readable.from(pieces(), { objectMode: false });
  };

  app.put(
    "/v1/sandboxes/:sandbox/tree",
    {
      bodyLimit: Number.MAX_SAFE_INTEGER,
      schema: {
        params,
        querystring: z.object({
          path,
          user: z.string().max(128).optional(),
          /** `1`: it is the run's workspace; kept beside the sandbox, for the capture of a failure. */
          keep: z.enum(["0", "1"]).default("0"),
        }),
        response: { 200: treeReport.extend({ skipped: z.array(leftOut).optional() }) },
      },
    },
    (request, reply) =>
      upload(request, async (body) => {
        const { path: to, user, keep } = request.query;
        const { dir } = engine.sandbox(request.params.sandbox);
        const { tree, skipped } = readTree(request, body);
        const source = keep === "1" ? keepTree(dir, { path: to, user }, tree) : tree;
        const told = await reach(request.params, reply, (agent) => agent.treeIn(to, source, user));
        return { ...told, ...defined({ skipped }) };
      }),
  );

  app.get(
    "/v1/sandboxes/:sandbox/tree",
    { schema: { params, querystring: z.object({ path, attributes: attributesFlag, as: treeFormat }) } },
    async (request, reply) => {
      const { path: from, attributes, as } = request.query;
      if (wantsTar(request, as)) {
        const archive = await reach(request.params, reply, (agent) => tarOf(agent, from));
        return reply.type(TAR_TYPE).send(explained(request.params, archive));
      }
      const body = await reach(request.params, reply, (agent) => agent.treeOut(from, attributes));
      return reply.type("application/octet-stream").send(explained(request.params, body));
    },
  );

  app.put(
    "/v1/sandboxes/:sandbox/files",
    {
      bodyLimit: Number.MAX_SAFE_INTEGER,
      schema: {
        params,
        querystring: z.object({ path, mode: octal.optional(), user: z.string().max(128).optional() }),
      },
    },
    async (request, reply) => {
      const { path: to, mode, user } = request.query;
      await upload(request, (body) =>
        reach(request.params, reply, (agent) => agent.writeFile(to, body, mode, user)),
      );
      return reply.code(204).send();
    },
  );

  app.get(
    "/v1/sandboxes/:sandbox/files",
    { schema: { params, querystring: z.object({ path }) } },
    async (request, reply) => {
      const { size, body } = await reach(request.params, reply, (agent) =>
        agent.readFile(request.query.path),
      );
      return reply
        .type("application/octet-stream")
        .header("thaw-file-size", String(size))
        .send(explained(request.params, body));
    },
  );

  app.get(
    "/v1/sandboxes/:sandbox/stat",
    { schema: { params, querystring: z.object({ path }), response: { 200: fileEntry } } },
    (request, reply) => reach(request.params, reply, (agent) => agent.stat(request.query.path)),
  );

  app.get(
    "/v1/sandboxes/:sandbox/list",
    {
      schema: {
        params,
        querystring: z.object({ path }),
        response: { 200: z.object({ entries: z.array(fileEntry), truncated: z.boolean() }) },
      },
    },
    (request, reply) => reach(request.params, reply, (agent) => agent.list(request.query.path)),
  );
}
