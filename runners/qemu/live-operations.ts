/** What can be done to a thawed machine while it lives, whichever process thawed it. */
import type { Context } from "./context.ts";
import { takeDifference } from "./difference.ts";
import { flattenWhenDeep } from "./disk-chain.ts";
import { dumpMemory } from "./dump-memory.ts";
import { freezeLive } from "./live-freeze.ts";
import type { LiveOperations } from "./machine.ts";

export function liveOperations(context: Context): LiveOperations {
  return {
    freeze: (source, spec, signal) => freezeLive(context, source, spec, signal),
    takeDifference: (source, dir, options) => takeDifference(context, source, dir, options),
    dumpMemory,
    settle: ({ qmp, record }) => flattenWhenDeep(qmp, record),
  };
}
