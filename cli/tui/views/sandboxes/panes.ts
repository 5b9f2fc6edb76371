import { setTimeout as pause } from "node:timers/promises";
import { describeEvent } from "../../../../api/describe-event.ts";
import { chooseExec } from "../../../../client/follow/choose-exec.ts";
import type { Event, NetworkEntry, SandboxInfo } from "../../../../client/index.ts";
import { formatElapsed } from "../../../format/age.ts";
import { formatCommand, formatExecState } from "../../../format/ending.ts";
import { formatSize } from "../../../format/size.ts";
import { bar } from "../../draw/graph.ts";
import { fitTo, type Line, padTo, type Tone } from "../../draw/text.ts";
import { heading, pairs, plain, shortAge, timeOfDay } from "../common.ts";
import { processLines } from "../process-lines.ts";
import type { Pane } from "../view.ts";
import { followLog } from "./log.ts";
import type { SandboxRow } from "./row.ts";

const log: Pane<SandboxRow> = {
  title: "Log",
  version: ({ sandbox }) => chooseExec(sandbox.execs)?.id ?? "",
  async *follow(client, { sandbox }, signal) {
    const exec = chooseExec(sandbox.execs);
    if (exec === undefined)
      yield {
        lines: [plain("no command has run yet: x runs one, s opens a shell", "dim")],
        anew: true,
      };
    else yield* followLog(client, exec, signal);
  },
};

const commands: Pane<SandboxRow> = {
  title: "Commands",
  lines: ({ sandbox }, { nowMs }) =>
    sandbox.execs
      .toSorted((a, b) => b.startedAt.localeCompare(a.startedAt))
      .slice(0, 200)
      .map((exec): Line => {
        const isOver = exec.state === "exited" || exec.state === "failed";
        const tone: Tone = isOver ? (exec.exit?.code === 0 ? "dim" : "bad") : "good";
        const how = formatExecState(exec);
        const took =
          exec.exit === null ? shortAge(exec.startedAt, nowMs) : formatElapsed(exec.exit.durationMs);
        return [
          { text: `${exec.id.slice(0, 6)}  `, tone: "dim" },
          { text: fitTo(how, 24), tone },
          { text: `  ${took.padStart(7)}  ` },
          { text: formatCommand(exec.argv, 400) },
        ];
      }),
};

/** No event tells of a guest's processes: they are asked for while somebody looks. */
const PROCESSES_EVERY_MS = 2000;

const processes: Pane<SandboxRow> = {
  title: "Processes",
  version: ({ sandbox }) => sandbox.state,
  async *follow(client, { sandbox }, signal) {
    while (!signal.aborted) {
      const report = await client.sandboxes.at(sandbox.id).processes({ signal });
      const lines = processLines(report);
      const nothing =
        sandbox.state === "running" ? "the guest reported no processes" : `the sandbox is ${sandbox.state}`;
      yield { lines: lines.length > 0 ? lines : [plain(nothing, "dim")], anew: true };
      await pause(PROCESSES_EVERY_MS, undefined, { signal });
    }
  },
};

const ports: Pane<SandboxRow> = {
  title: "Ports",
  lines: ({ sandbox: { ports, listening, name } }) => [
    ...ports.map(({ address, port, path, guest }) =>
      plain(`${address === null ? "localhost" : address}:${port ?? path}  →  ${guest} in the sandbox`),
    ),
    ...listening
      .filter((port) => !ports.some(({ guest }) => guest === port))
      .map(
        (port): Line => [
          { text: `port ${port} in the sandbox is not forwarded`, tone: "dim" },
          { text: `   thaw port ${name} ${port}:${port}`, tone: "dim" },
        ],
      ),
    ...(ports.length + listening.length === 0 ? [plain("no process listens on a port", "dim")] : []),
  ],
};

const verdictTones = { allowed: "good", audited: "warn", denied: "bad", failed: "warn" } as const;

function formatNetwork(entry: NetworkEntry): Line {
  const place = `${entry.name ?? entry.address ?? "?"}:${entry.port}`;
  return [
    { text: `${timeOfDay(entry.time)} `, tone: "dim" },
    { text: entry.verdict.padEnd(8), tone: verdictTones[entry.verdict] },
    { text: padTo(place, 36) },
    { text: ` ${formatSize(entry.sent)} out, ${formatSize(entry.received)} in`, tone: "dim" },
    { text: `  ${entry.process ?? ""}  ${entry.reason}`, tone: "dim" },
  ];
}

const network: Pane<SandboxRow> = {
  title: "Network",
  async *follow(client, { sandbox }, signal) {
    const reach: Line[] = [
      plain(
        sandbox.network.unavailable ??
          `network: ${sandbox.network.mode}  ·  thaw network show ${sandbox.name}`,
        "dim",
      ),
    ];
    yield { lines: reach, anew: true };
    for await (const entry of client.sandboxes.at(sandbox.id).network.log({ follow: true, signal }))
      yield { lines: [formatNetwork(entry)] };
  },
};

function formatEvent(event: Event): Line {
  return [
    { text: `${timeOfDay(event.time)} `, tone: "dim" },
    { text: event.type.padEnd(20) },
    { text: describeEvent(event).slice(0, 400), tone: "dim" },
  ];
}

const events: Pane<SandboxRow> = {
  title: "Events",
  async *follow(client, { sandbox }, signal) {
    for await (const event of client.events({ sandbox: sandbox.id, since: 0, signal }))
      yield { lines: [formatEvent(event)] };
  },
};

function describe(sandbox: SandboxInfo): Line[] {
  const { resources } = sandbox;
  return pairs([
    ["id", sandbox.id],
    ["state", sandbox.frozen ? "stopped (frozen): a request thaws it" : sandbox.state],
    ["reason", sandbox.reason ?? undefined],
    ["from", `${sandbox.from}  (${sandbox.snapshot})`],
    ["isolation", sandbox.isolation],
    ["created", sandbox.createdAt],
    ["ends", sandbox.expiresAt ?? undefined],
    ["thawed in", sandbox.thawMs === null ? undefined : `${sandbox.thawMs.toFixed(0)} ms`],
    ["lease", sandbox.leased ? "the sandbox is removed when its client ends" : undefined],
    [
      "replay of",
      sandbox.replay === null ? undefined : `${sandbox.replay.capture} (${sandbox.replay.level})`,
    ],
    [
      "resources",
      `${resources.cpus} CPUs, ${formatSize(resources.memoryMib * 2 ** 20)} memory, ${formatSize(resources.diskMib * 2 ** 20)} disk`,
    ],
    ...Object.entries(sandbox.labels).map(([name, value]) => ["label", `${name}=${value}`] as const),
  ]);
}

const resources: Pane<SandboxRow> = {
  title: "Resources",
  lines: ({ sandbox, usage }) => {
    const cpu = usage?.cpuPercent.at(-1);
    const memory = usage?.memoryBytes.at(-1);
    const all = sandbox.resources.memoryMib * 2 ** 20;
    return [
      ...(cpu === undefined
        ? []
        : [plain(`CPU     ${bar(cpu / 100 / sandbox.resources.cpus, 30)} ${cpu.toFixed(0)} %`)]),
      ...(memory === undefined
        ? []
        : [plain(`memory  ${bar(memory / all, 30)} ${formatSize(memory)} of ${formatSize(all)}`)]),
      heading(sandbox.name),
      ...describe(sandbox),
    ];
  },
};

export const SANDBOX_PANES = [log, commands, processes, ports, network, events, resources] as const;
