/** Whether a QEMU has all that machines are made of and steered by: builds of other distributions leave parts out. */
import { z } from "zod";
import { runTool } from "../host/tool.ts";
import { RunnerError } from "../runner.ts";
import { deviceNames, SANDBOX } from "./argv.ts";
import { TCG_CPU } from "./cpu-models.ts";

/** Without `xen-save-devices-state` differences are not taken; its self-test finds that out. */
export const NEEDED = {
  "migration capability": ["events", "x-ignore-shared", "pause-before-switchover", "auto-converge"],
  device: deviceNames(),
  command: [
    ...["blockdev-add", "blockdev-del", "blockdev-snapshot", "block-set-write-threshold", "block-stream"],
    ...["block-job-cancel", "cont", "dump-guest-memory", "migrate", "migrate-continue", "migrate-incoming"],
    ...[
      "migrate-set-capabilities",
      "migrate-set-parameters",
      "migrate_cancel",
      "query-block",
      "query-status",
    ],
    ...["query-block-jobs", "query-migrate", "query-named-block-nodes", "query-version", "quit"],
    ...["ringbuf-read", "stop"],
  ],
  "CPU model": [TCG_CPU],
} as const;

const QUESTIONS: readonly [kind: keyof typeof NEEDED, command: object, name: "name" | "capability"][] = [
  ["migration capability", { execute: "query-migrate-capabilities" }, "capability"],
  ["device", { execute: "qom-list-types", arguments: { implements: "device" } }, "name"],
  ["command", { execute: "query-commands" }, "name"],
  ["CPU model", { execute: "query-cpu-definitions" }, "name"],
];

const answer = z.object({ return: z.array(z.record(z.string(), z.unknown())) });

/** Asks a QEMU without a machine. Throws `unsupported` with the names of all that it lacks, or with what it says of its filter of calls. */
export async function checkOffer(path: string, build: string): Promise<void> {
  const commands = [{ execute: "qmp_capabilities" }, ...QUESTIONS.map(([, command]) => command)];
  const argv = ["-M", "none", "-nodefaults", "-no-user-config", "-display", "none", "-sandbox", SANDBOX];
  const answers = await runTool(path, [...argv, "-qmp", "stdio"], {
    input: commands.map((command) => `${JSON.stringify(command)}\n`).join(""),
    last: {
      input: JSON.stringify({ execute: "quit" }),
      after: (said) => countAnswers(said) === commands.length,
    },
    timeoutMs: 10_000,
    debianPackage: "qemu-system-x86",
    code: "unsupported",
  });
  const lacking = lackingParts(answers);
  if (lacking.length === 0) return;
  throw new RunnerError("unsupported", `${path} (${build}) lacks ${lacking.join(", ")}`, {
    hint: "apt-get install qemu-system-x86, or put another QEMU first on the daemon's PATH",
  });
}

function countAnswers(said: string): number {
  return said.match(/^\{"(return|error)"[^\n]*\n/gm)?.length ?? 0;
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** @param answers what QEMU wrote on QMP to the questions, in their order, a line each */
export function lackingParts(answers: string): string[] {
  const lists = answers
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => answer.safeParse(parseJson(line)).data?.return)
    .filter((list) => list !== undefined);
  return QUESTIONS.flatMap(([kind, , key], index) => {
    const offered = new Set(lists[index]?.map((one) => one[key]));
    return NEEDED[kind].filter((name) => !offered.has(name)).map((name) => `${kind} ${name}`);
  });
}
