/** A failure, as the tools tell it. What the guest, the repository or the run said stands beneath `untrusted`. */
import { z } from "zod";
import { formatCapturedEnd, formatCommand, formatTrigger } from "../api/ending.ts";
import { caseFile, execExit, isolation, replayLevel, trigger } from "../api/schema.ts";
import { type Capture, ThawError } from "../client/index.ts";
import { exitOf } from "./commands.ts";
import { PAGE_BYTES } from "./limits.ts";
import { cleanLine, page, pageOf, plainWord, showPage } from "./untrusted.ts";

const MAX_SHOWN = 50;
const COMMAND_CHARS = 300;

const failureFields = {
  id: z.string(),
  createdAt: z.string(),
  trigger,
  exit: execExit.nullable(),
  fingerprint: z.string().describe("Equal for failures that look alike"),
  replays: replayLevel.nullable().describe("The best level at which it can be opened on this host"),
  rerunnable: z.boolean().describe("The state before the command is known: rerun works"),
};

export const failureAnswer = z.object({
  ...failureFields,
  untrusted: z.object({
    command: z.string(),
    repository: z.string().nullable(),
    ref: z.string().nullable(),
    pr: z.string().nullable(),
    job: z.string().nullable(),
    step: z.string().nullable(),
    lastLine: z.string(),
  }),
});

export const caseAnswer = z.object({
  ...failureFields,
  isolation,
  durationMs: z.number().nullable(),
  before: caseFile.shape.before,
  cpus: z.number(),
  memoryMib: z.number(),
  pauseMs: z.number(),
  diskWrittenOut: z.boolean(),
  pinned: z.boolean(),
  untrusted: z.object({
    host: z.string(),
    base: z.string(),
    argv: z.array(z.string()),
    cwd: z.string().nullable(),
    user: z.string().nullable(),
    envNames: z.array(z.string()),
    masked: z.array(z.string()).describe("Variables that were secret; a replay lacks them"),
    ci: z.record(z.string(), z.string()),
    workspace: z.string().nullable(),
    crash: z.string().nullable(),
    processes: z.array(z.string()),
    listening: z.array(z.string()),
    egress: z.array(z.string()),
    log: page,
  }),
});

/** @throws ThawError `not-found` */
export function needCommand(capture: Capture): NonNullable<Capture["exec"]> {
  if (capture.exec !== null) return capture.exec;
  throw new ThawError(
    "usage",
    `${capture.id} was not taken for a command, so there is no command to run again`,
    {
      hint: "give argv",
    },
  );
}

function fieldsOf(capture: Capture) {
  const { id, createdAt, trigger, exec, replays, before } = capture;
  const rerunnable = exec !== null && before !== "unknown";
  const exit = exitOf(exec?.exit ?? null);
  return { id, createdAt, trigger, exit, fingerprint: plainWord(capture.fingerprint), replays, rerunnable };
}

/** A line of a list. */
export function describeFailure(capture: Capture): z.input<typeof failureAnswer> {
  const { ci, exec, console, sandbox } = capture;
  const line = (text: string | undefined): string | null =>
    text === undefined ? null : cleanLine(text, 120);
  return {
    ...fieldsOf(capture),
    untrusted: {
      command: cleanLine(
        exec === null ? `(sandbox ${sandbox.name})` : formatCommand(exec.argv, COMMAND_CHARS),
      ),
      repository: line(ci?.repository),
      ref: line(ci?.ref),
      pr: line(ci?.pr),
      job: line(ci?.job),
      step: line(ci?.step),
      lastLine: cleanLine((exec?.lastLines ?? console).findLast((text) => text.trim() !== "") ?? "", 200),
    },
  };
}

/** How it ended, in words of our own. */
export function describeEnd(capture: Capture): string {
  const { exec, crash } = capture;
  const ours = {
    trigger: capture.trigger,
    exec: exec && { ...exec, exit: exitOf(exec.exit) },
    crash: crash && { ...crash, signal: plainWord(crash.signal) },
  };
  return formatCapturedEnd(ours) ?? `captured by hand (${formatTrigger(ours)})`;
}

/** What was kept of the output, as bytes. */
export function logOf({ exec, console }: Capture): Buffer {
  const lines = exec !== null && exec.lastLines.length > 0 ? exec.lastLines : console;
  return Buffer.from(lines.map((line) => `${line}\n`).join(""));
}

/** @param offset of the log; undefined: its end */
export function describeCase(capture: Capture, offset?: number): z.input<typeof caseAnswer> {
  const { exec, crash, ci, workspace, processes, listening, egress, resources, base, disk, notes } = capture;
  const log = logOf(capture);
  const from = Math.min(log.length, offset ?? Math.max(0, log.length - PAGE_BYTES));
  const some = (all: readonly string[]): string[] => {
    const shown = all.slice(0, MAX_SHOWN).map((one) => cleanLine(one));
    return all.length > MAX_SHOWN ? [...shown, `… and ${all.length - MAX_SHOWN} more`] : shown;
  };
  return {
    ...fieldsOf(capture),
    isolation: capture.isolation,
    durationMs: exec?.durationMs ?? null,
    before: capture.before,
    cpus: resources.cpus,
    memoryMib: resources.memoryMib,
    pauseMs: capture.pauseMs,
    diskWrittenOut: disk.writtenOut,
    pinned: notes.pinned,
    untrusted: {
      host: cleanLine(capture.host, 100),
      base: cleanLine(base.from, 100),
      argv: exec === null ? [] : exec.argv.slice(0, MAX_SHOWN).map((word) => cleanLine(word, 2000)),
      cwd: exec?.cwd ?? null,
      user: exec?.user ?? null,
      envNames: some(exec?.envNames ?? []),
      masked: some(exec?.masked ?? []),
      ci: Object.fromEntries(Object.entries(ci ?? {}).map(([key, value]) => [key, cleanLine(value ?? "")])),
      workspace: workspace?.path ?? null,
      crash: crash === null ? null : cleanLine(`process ${crash.pid} (${crash.name}), SIG${crash.signal}`),
      processes: some(processes.map(({ pid, state, name, command }) => `${pid} ${state} ${command || name}`)),
      listening: some(listening.map(({ protocol, address, port }) => `${protocol} ${address}:${port}`)),
      egress: some(
        egress.map(({ destination, allowed }) => `${destination} ${allowed ? "allowed" : "denied"}`),
      ),
      log: pageOf(log.subarray(from, from + PAGE_BYTES), { offset: from, total: log.length }),
    },
  };
}

/** The case in words. */
export function showCase(capture: Capture, told: z.input<typeof caseAnswer>): string {
  const { untrusted } = told;
  const { log, argv, ...facts } = untrusted;
  const known = Object.entries(facts).filter(
    ([, value]) => value !== null && Object.keys(Object(value)).length > 0,
  );
  const opens = told.replays === null ? "it can't be opened on this host" : `opens by its ${told.replays}`;
  const reruns = told.rerunnable
    ? `rerun starts from: ${told.before}`
    : "the state before the command is not known: no rerun";
  return [
    `${told.id}: ${describeEnd(capture)}, ${told.createdAt}`,
    `${opens}; ${reruns}`,
    showFacts({ command: formatCommand(argv, COMMAND_CHARS), ...Object.fromEntries(known) }),
    showPage("last output of the command", log as z.output<typeof page>),
  ].join("\n");
}

function showFacts(facts: Record<string, unknown>): string {
  const lines = Object.entries(facts).map(
    ([name, value]) => `${name}: ${typeof value === "string" ? cleanLine(value) : JSON.stringify(value)}`,
  );
  const text = Buffer.from(lines.join("\n"));
  return showPage("the case", pageOf(text, { offset: 0, total: text.length }));
}
