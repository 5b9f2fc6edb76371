/** The MCP server over HTTP. What its tools do, they do through the API, with the rights of the request's token. */
import type { IncomingHttpHeaders } from "node:http";
import { z } from "zod";
import { accessOf } from "../access/guard.ts";
import type { App, DaemonContext } from "../context.ts";

/** A file or a patch that a tool takes, in JSON, and more. */
const BODY_LIMIT_BYTES = 4 << 20;

/** One message: a list of them could ask for more at a time than is good. */
const message = z.looseObject({ jsonrpc: z.literal("2.0") });

export function mcpRoutes(app: App, { connectAs }: DaemonContext): void {
  app.post("/mcp", { bodyLimit: BODY_LIMIT_BYTES, schema: { body: message } }, async (request, reply) => {
    const { Thaw } = await import("../../client/index.ts");
    const { answerOverHttp } = await import("../../mcp/http.ts");
    const gone = new AbortController();
    reply.raw.once("close", () => gone.abort());
    const thaw = new Thaw({ connect: connectAs(accessOf(request.raw)), autostart: false });
    const asked = new Request("http://thaw/mcp", {
      ...{ method: "POST", headers: headersOf(request.raw.headers), signal: gone.signal },
    });
    const onError = (error: Error): void => request.log.debug({ err: error }, "mcp");
    return reply.send(await answerOverHttp(thaw, { request: asked, body: request.body, onError }));
  });

  // Clients try whether the server has something to say by itself.
  app.get("/mcp", { schema: { hide: true } as object }, async (_request, reply) =>
    reply.code(405).header("allow", "POST").send(),
  );
}

/** Those that mean something to the protocol. */
function headersOf(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      /^(accept|content-type|mcp-.*)$/.test(name) && typeof value === "string" ? [[name, value]] : [],
    ),
  );
}
