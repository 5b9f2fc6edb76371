/** Ports of the host that lead into a sandbox. */
import { z } from "zod";
import { forward, forwardRequest, portsState } from "../../api/schema.ts";
import { MAX_SOCKET_PATH_BYTES } from "../../api/socket-path.ts";
import { needRights } from "../access/guard.ts";
import type { App, DaemonContext } from "../context.ts";

const params = z.object({ sandbox: z.string().max(200) });
/** A port of the host, or the path of a unix socket there. */
const oneParams = params.extend({ port: z.string().min(1).max(MAX_SOCKET_PATH_BYTES) });

export function portRoutes(app: App, { engine, requests }: DaemonContext): void {
  app.get(
    "/v1/sandboxes/:sandbox/ports",
    { schema: { params, response: { 200: portsState } } },
    async (request) => engine.ports(request.params.sandbox),
  );

  app.post(
    "/v1/sandboxes/:sandbox/ports",
    { schema: { params, body: forwardRequest, response: { 200: forward } } },
    async (request) => {
      const { path, address } = request.body;
      // Files and addresses of the host are its operator's.
      if (path !== undefined || address !== undefined) needRights(request.raw, "admin");
      return requests.once(request, (id) => engine.addForward(request.params.sandbox, request.body, id));
    },
  );

  app.delete(
    "/v1/sandboxes/:sandbox/ports/:port",
    { schema: { params: oneParams } },
    async (request, reply) => {
      const { sandbox, port } = request.params;
      await engine.removeForward(sandbox, /^\d+$/.test(port) ? Number(port) : port);
      return reply.code(204).send();
    },
  );
}
