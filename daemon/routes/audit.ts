/** Who did what. */
import { auditPage, auditQuery } from "../../api/schema.ts";
import type { App, DaemonContext } from "../context.ts";

export function auditRoutes(app: App, { engine: { audit } }: DaemonContext): void {
  app.get("/v1/audit", { schema: { querystring: auditQuery, response: { 200: auditPage } } }, (request) =>
    audit.read(request.query),
  );
}
