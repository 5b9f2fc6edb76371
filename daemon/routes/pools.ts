import { z } from "zod";
import { poolList, poolMode, poolName, poolSize } from "../../api/schema.ts";
import { EngineError } from "../../engine/errors.ts";
import type { App, DaemonContext } from "../context.ts";

const params = z.object({ pool: poolName });

export function poolRoutes(app: App, { engine, group }: DaemonContext): void {
  app.get("/v1/pools", { schema: { response: { 200: poolList } } }, async () => engine.poolList());

  app.put("/v1/pools", { schema: { body: poolMode, response: { 200: poolList } } }, async (request) => {
    needOneUser();
    await engine.setPoolMode(request.body);
    return engine.poolList();
  });

  app.put(
    "/v1/pools/:pool",
    { schema: { params, body: poolSize, response: { 200: poolList } } },
    async (request) => {
      needOneUser();
      await engine.setPoolSize(request.params.pool, request.body);
      return engine.poolList();
    },
  );

  /** What a host keeps ready is its operator's to say. */
  function needOneUser(): void {
    if (group === null) return;
    throw new EngineError("unsupported", "this daemon serves several users: only its operator sets pools", {
      hint: `edit ${engine.home.config}`,
    });
  }
}
