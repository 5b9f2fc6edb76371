import { watch as watchFolder } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { isTemplatePath, ThawError } from "../../client/index.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { reportFailure } from "../failure.ts";
import { writeErr } from "../output.ts";
import { type BuildFlags, build } from "./build.ts";

/** An editor writes a file in several steps. */
const SETTLE_MS = 200;

/** `thaw template build --watch`: builds, and again after each change in the template's folder, until a signal ends it. */
export async function buildAndWatch(template: string, flags: BuildFlags): Promise<never> {
  if (!isTemplatePath(template) || template.includes("://"))
    throw new ThawError("usage", `--watch needs the path of a template, not ${template}`, {
      hint: "thaw template build --watch ./template.yaml",
    });
  const folder = (await stat(template)).isDirectory() ? template : dirname(template);
  using interrupt = abortOnSignals();
  const { signal } = interrupt;
  let changed = Promise.withResolvers<void>();
  let timer: NodeJS.Timeout | undefined;
  const watcher = watchFolder(folder, { recursive: true }, () => {
    clearTimeout(timer);
    timer = setTimeout(() => changed.resolve(), SETTLE_MS);
  });
  watcher.on("error", (error) => changed.reject(error));
  const interrupted = new Promise<never>((_, reject) => {
    const end = () => reject(signal.reason);
    signal.addEventListener("abort", end, { once: true });
  });
  interrupted.catch(() => {});
  try {
    for (;;) {
      changed = Promise.withResolvers<void>();
      changed.promise.catch(() => {});
      try {
        await build(template, flags);
      } catch (error) {
        signal.throwIfAborted();
        reportFailure(error, process.argv.slice(2));
      }
      signal.throwIfAborted();
      writeErr(`waiting for a change in ${folder}; Ctrl-C ends\n`);
      await Promise.race([changed.promise, interrupted]);
    }
  } finally {
    clearTimeout(timer);
    watcher.close();
  }
}
