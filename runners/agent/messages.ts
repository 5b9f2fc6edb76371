/** What the agent may say, as schemas: the guest is hostile, so nothing of it is used before it was parsed by one of these. */
import { z } from "zod";
import { crash, guestProcesses, listeningPorts } from "../../api/guest.ts";

const offset = z.int().min(0);
const shortText = z.string().max(4096);

export const welcome = z.object({
  version: z.int(),
  agent: z.string().max(64),
  bootId: z.string().max(64).nullish(),
  execs: z.array(z.string().max(64)).max(2048).default([]),
  faults: z.int().default(0),
  errors: z.array(shortText).max(32).default([]),
  error: shortText.optional(),
  /** What the agent can do beyond its version; an older agent tells none. */
  features: z.array(z.string().max(64)).max(32).default([]),
  /** Features that the agent knows and that do not work in this guest: why, by feature. */
  missing: z.record(z.string().max(64), shortText).default({}),
});

export const agentErrorKind = z.enum([
  "invalid",
  "unsupported",
  "not-found",
  "not-executable",
  "no-user",
  "io",
  "limit",
  "exists",
  "refused",
  "denied",
]);
export const agentError = z.object({ kind: agentErrorKind, message: shortText, errno: z.int().optional() });
export const response = z.union([z.object({ ok: z.looseObject({}) }), z.object({ error: agentError })]);

export const startOk = z.object({
  pid: z.int(),
  in: offset,
  out: offset,
  err: offset,
  running: z.boolean().default(true),
});
export const exitEvent = z.object({
  event: z.literal("exit"),
  code: z.int().min(0).max(255).nullable(),
  signal: z.string().max(16).nullable(),
  oom: z.boolean(),
  out: offset,
  err: offset,
  durationMs: z.number().min(0),
});
/** A process that is held in its core dump: an event of its exec's stream, and what `core` answers with. */
export const crashEvent = z.object({ event: z.literal("crash"), ...crash.shape });
export const sessionEvent = z.discriminatedUnion("event", [
  z.object({ event: z.literal("oom") }),
  z.object({ event: z.literal("log"), message: shortText }),
]);
export const accepted = z.object({
  op: z.literal("accepted"),
  listener: z.int(),
  peer: z.string().max(256).optional(),
});
/** A program in the guest opened a connection that leads out of it. */
export const connect = z.object({
  op: z.literal("connect"),
  /** In lower case. Absent when the program named the address itself. */
  name: z.string().min(1).max(253).optional(),
  address: z.ipv4(),
  port: z.int().min(1).max(65_535),
  pid: z.int().min(1).optional(),
  uid: z.int().min(0).optional(),
  process: z.string().max(64).optional(),
  exec: z.string().max(64).optional(),
});
export const guestRequest = z.discriminatedUnion("op", [accepted, connect]);

export const readOk = z.object({ size: z.number().min(0) });
/** Ports that programs in the guest listen at. */
export const portsLine = z.object({ ports: z.array(z.int().min(0).max(65_535)).max(128) });
export const listenOk = z.object({ port: z.int().min(0).max(65_535).nullish() });
export const quiesceOk = z.object({ freeBytes: z.number().min(0) });

/** What runs in the machine, without the kernel's own threads. */
export const processesOk = z.object({
  processes: guestProcesses,
  listening: listeningPorts,
  truncated: z.boolean(),
});

export type Welcome = z.infer<typeof welcome>;
export type ExitEvent = z.infer<typeof exitEvent>;
export type Crash = z.infer<typeof crash>;
export type Connect = z.infer<typeof connect>;
export type CrashEvent = z.infer<typeof crashEvent>;
export type Processes = z.infer<typeof processesOk>;
export type AgentErrorBody = z.infer<typeof agentError>;

/** Given to a machine on its first hello after a thaw. */
export interface Identity {
  timeNs: string;
  /** 64 random bytes, base64. */
  entropy: string;
  hostname: string;
  /** 32 hex digits. */
  machineId: string;
  /** A UUID. */
  bootId: string;
}

/** An agent's feature: a command of any length that Linux takes. */
export const WORDS_FEATURE = "words";

export interface StartParams {
  id: string;
  argv: string[];
  env?: Record<string, string> | undefined;
  cwd?: string | undefined;
  user?: string | undefined;
  tty?: { rows: number; cols: number } | undefined;
  stdin?: boolean | undefined;
  /** Processes that crash stay until released; an agent too old for that lets them end. */
  holdCrashes?: boolean | undefined;
}
