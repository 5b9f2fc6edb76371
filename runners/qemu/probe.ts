/** Lines of `thaw doctor`. */
import type { Probe } from "../runner.ts";
import type { Context } from "./context.ts";
import type { QemuRunnerOptions } from "./runner.ts";
export async function probe(_context: Context, _options: QemuRunnerOptions): Promise<Probe[]> {
  return [];
}
