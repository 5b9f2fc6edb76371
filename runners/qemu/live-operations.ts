/** What can be done to a thawed machine while it lives, whichever process thawed it. */
import type { Context } from "./context.ts";
import { saveCache } from "./disk/cache.ts";
import { finishCut } from "./disk/cut.ts";
import { flattenWhenDeep } from "./disk/flatten.ts";
import { takeDifference } from "./freeze/difference.ts";
import { dumpMemory } from "./freeze/dump-memory.ts";
import { freezeLive } from "./freeze/live.ts";
import type { LiveOperations } from "./machine.ts";
import { whyNoDifference } from "./running-build.ts";

export function liveOperations(context: Context): LiveOperations {
  return {
    freeze: (source, spec, signal) => freezeLive(context, source, spec, signal),
    takeDifference: (source, dir, options) => takeDifference(context, source, dir, options),
    whyNoDifference: (source) => whyNoDifference(context, source.qmp),
    dumpMemory,
    saveCache: (source, target, writing) => saveCache(context, source, { target, ...writing }),
    finishCut,
    flatten: flattenWhenDeep,
  };
}
