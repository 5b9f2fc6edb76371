/** Sandboxes: opened from a failure, copied, made anew. */
import { z } from "zod";
import { defined } from "../../api/defined.ts";
import { createRequest, reference, resources } from "../../api/schema.ts";
import { MAKES, tellProgress, tool } from "../call.ts";
import { describeEnd } from "../case.ts";
import { ROOM_WAIT_MS } from "../limits.ts";
import {
  captureReference,
  describeSandbox,
  findSandbox,
  forkCount,
  forkSandbox,
  LABEL,
  newName,
  openCapture,
  removeAll,
  replayLevel,
  sandboxAnswer,
  sandboxReference,
  showSandbox,
  ttlMinutes,
} from "../sandboxes.ts";
import { cleanLine } from "../untrusted.ts";
import { exactlyOne } from "./either.ts";

export const openFailure = tool({
  name: "open_failure",
  title: "Open a failure",
  description:
    "Thaws the machine of a failure where it stopped, as a sandbox: look at it with exec and read_file. It has no network and no secrets. Commands run in the failed one's folder, as its user and with its environment.",
  input: z.object({ capture: captureReference, level: replayLevel, name: newName, ttlMinutes }),
  output: z.object({
    sandbox: sandboxAnswer,
    level: z.enum(["memory", "disk"]).nullable(),
    untrusted: z.object({
      cwd: z.string().nullable(),
      masked: z.array(z.string()).describe("Secret variables that it lacks"),
    }),
  }),
  annotations: MAKES,
  run: async ({ capture, ...making }, call) => {
    const found = await call.thaw.captures.get(capture, { signal: call.signal });
    const { info } = await openCapture(call, found.id, making);
    const masked = (found.exec?.masked ?? []).slice(0, 50).map((name) => cleanLine(name, 100));
    const level = info.replay?.level ?? null;
    const cwd = found.exec?.cwd ?? null;
    return {
      text: `${showSandbox(info)}\n${found.id} (${describeEnd(found)}), opened by its ${level}`,
      structured: { sandbox: describeSandbox(info), level, untrusted: { cwd, masked } },
    };
  },
});

export const forkFailure = tool({
  name: "fork_failure",
  title: "Fork a failure",
  description:
    "Makes several sandboxes that start from the same state: of a failure as it stopped, or of a sandbox of yours as it is now (which goes on). Use it to try different things from one state; try_fix does all of it for a patch.",
  input: z.object({
    capture: captureReference.optional(),
    sandbox: sandboxReference.optional(),
    count: forkCount.default(2),
    level: replayLevel.describe("Of a capture: memory or disk. Default: memory where this host can"),
    ttlMinutes,
  }),
  output: z.object({ sandboxes: z.array(sandboxAnswer) }),
  annotations: MAKES,
  run: async ({ capture, sandbox, count, level, ttlMinutes }, call) => {
    exactlyOne({ capture, sandbox });
    const sandboxes =
      sandbox !== undefined
        ? await forkSandbox(call, await findSandbox(call, sandbox), { count, ttlMinutes })
        : await forkCapture();
    async function forkCapture() {
      const { id } = await call.thaw.captures.get(capture ?? "", { signal: call.signal });
      const first = await openCapture(call, id, { level, ttlMinutes });
      try {
        return [first, ...(await forkSandbox(call, first, { count: count - 1, ttlMinutes }))];
      } catch (error) {
        await removeAll([first]);
        throw error;
      }
    }
    const infos = sandboxes.map(({ info }) => info);
    return {
      text: infos.map(showSandbox).join("\n"),
      structured: { sandboxes: infos.map(describeSandbox) },
    };
  },
});

export const createSandbox = tool({
  name: "create_sandbox",
  title: "Create a sandbox",
  description:
    "Makes a fresh sandbox from a template or a snapshot of this host. What it may reach is what the host and the template say; the answer tells it.",
  input: z.object({
    template: reference.optional().describe("Name of a template. Default: base"),
    snapshot: reference.optional().describe("Tag or id of a snapshot, instead of a template"),
    cpus: createRequest.shape.cpus,
    memoryMib: createRequest.shape.memoryMib,
    name: newName,
    ttlMinutes,
  }),
  output: z.object({ sandbox: sandboxAnswer, resources }),
  annotations: MAKES,
  run: async ({ template, snapshot, cpus, memoryMib, name, ttlMinutes }, call) => {
    const { info } = await call.thaw.sandboxes.create(
      {
        source: defined({ template, snapshot }),
        ...defined({ cpus, memoryMib, name }),
        labels: { [LABEL]: "yes" },
        ttlMs: ttlMinutes * 60_000,
        waitMs: ROOM_WAIT_MS,
      },
      { signal: call.signal, onProgress: tellProgress(call) },
    );
    return {
      text: showSandbox(info),
      structured: { sandbox: describeSandbox(info), resources: info.resources },
    };
  },
});
