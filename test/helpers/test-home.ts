/** The state folder of this worker: files that run at the same time share none. */
import { inject } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    thawHomes: string[];
  }
}

export function testHome(): string {
  const home = inject("thawHomes")[Number(process.env.VITEST_POOL_ID ?? 1) - 1];
  if (home === undefined) throw new Error(`no state folder for worker ${process.env.VITEST_POOL_ID}`);
  return home;
}
