/** The execs of one sandbox: started, restored after the daemon was away, dropped when there are too many. */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { LONG_COMMAND_HINT, shortened, tooLong } from "../../api/command-length.ts";
import type { CapturePolicy, CiContext } from "../../api/exec.ts";
import type { ExecDefaults } from "../../api/machine.ts";
import { type Agent, fitsFrame } from "../../runners/agent/agent.ts";
import type { StartParams } from "../../runners/agent/messages.ts";
import { EngineError } from "../errors.ts";
import { holdsCrashes } from "../execs/ending.ts";
import { Exec } from "../execs/exec.ts";
import { type ExecRecord, execKind } from "../execs/record.ts";
import type { RecordedRequest } from "../execs/request.ts";
import { randomId } from "../ids.ts";
import { SecretMatcher } from "../secrets/matcher.ts";
import { sealSecrets } from "../secrets/sealed.ts";
import type { Suspect } from "../state/quarantine.ts";
import { readRecordNow } from "../state/record.ts";
import { beginSpan } from "../tracing.ts";
import { execsDir } from "./dir.ts";
import type { SandboxRecord } from "./record.ts";

/** Finished execs kept with their logs, per sandbox. */
const KEPT_EXECS = 100;
/** Names of variables in an exec's record. */
const SHOWN_VARIABLES = 1000;

export interface ExecParams extends Omit<StartParams, "id"> {
  id?: string | undefined;
  timeoutMs?: number | undefined;
  /** Default: never. */
  capture?: CapturePolicy | undefined;
  /** Names of variables in `env` whose values are written nowhere. */
  mask?: readonly string[] | undefined;
  ci?: CiContext | undefined;
  /** Keep the machine as it is before the command, for its capture. */
  checkpoint?: boolean | undefined;
}

/** What the table needs of its sandbox. */
export interface ExecHost {
  readonly record: SandboxRecord;
  readonly dir: string;
  persist(): Promise<void>;
  /** Called for an exec that is new or restored, before anything of it can end. */
  follow(exec: Exec): void;
  /** Called before an exec starts whose end is captured. */
  prepareCapture(exec: Exec): Promise<void>;
}

export class ExecTable {
  readonly all = new Map<string, Exec>();
  /** Records that `restore` could not read; they stay where they are. */
  readonly unreadable: Suspect[] = [];
  readonly #host: ExecHost;
  #matcher: { of: SandboxRecord["secrets"]; secrets: SecretMatcher | null } = { of: null, secrets: null };

  constructor(host: ExecHost) {
    this.#host = host;
  }

  get #secrets(): SecretMatcher | null {
    const { secrets } = this.#host.record;
    if (this.#matcher.of !== secrets) this.#matcher = { of: secrets, secrets: SecretMatcher.of(secrets) };
    return this.#matcher.secrets;
  }

  get #dir(): string {
    return execsDir(this.#host.dir);
  }

  /** A text without the secret values that the sandbox was told. */
  hide(text: string): string {
    return this.#secrets?.hide(text) ?? text;
  }

  async restore(): Promise<void> {
    for (const name of namesIn(this.#dir)) {
      if (!name.endsWith(".json") || name.startsWith(".")) continue;
      const path = join(this.#dir, name);
      const read = readRecordNow(path, execKind);
      if (read.state === "unreadable")
        this.unreadable.push({
          ...{ kind: "exec", what: `${this.#host.record.id}.${name}`, path, reason: read.reason },
        });
      if (read.state !== "ok") continue;
      const exec = await Exec.restore(this.#dir, read.value, this.#secrets);
      this.all.set(read.value.id, exec);
      this.#host.follow(exec);
    }
  }

  /** `watch` gets the exec before it starts, so that no output is missed. */
  async start(agent: Agent, params: ExecParams, watch?: (exec: Exec) => void): Promise<Exec> {
    const host = this.#host;
    const { id = randomId(), timeoutMs, capture = "never", mask = [], ci = null, ...rest } = params;
    const { checkpoint = false, ...request } = rest;
    const { defaults } = host.record;
    checkLength(agent, request.argv, { ...defaults.env, ...request.env });
    await this.#learnSecrets(request.env ?? {}, mask);
    const hide = (text: string): string => this.hide(text);
    const argv = request.argv.map(hide);
    const record: ExecRecord = {
      id,
      sandbox: host.record.id,
      argv: shortened(argv),
      envNames: Object.keys(request.env ?? {}).slice(0, SHOWN_VARIABLES),
      cwd: request.cwd ?? null,
      user: request.user ?? null,
      tty: request.tty !== undefined,
      state: "starting",
      startedAt: new Date().toISOString(),
      endedAt: null,
      deadline: timeoutMs === undefined ? null : new Date(Date.now() + timeoutMs).toISOString(),
      timedOut: false,
      exit: null,
      output: null,
      capture,
      captured: null,
      masked: [...mask],
      ci,
      checkpoint: checkpoint && capture !== "never",
      error: null,
    };
    const exec = await Exec.create(this.#dir, record, this.#secrets);
    exec.span = beginSpan("exec", { "thaw.sandbox": record.sandbox, "thaw.exec": id });
    this.all.set(id, exec);
    host.follow(exec);
    if (capture !== "never") {
      await exec.keepRequest(requestOf({ ...record, argv }, request.env ?? {}, timeoutMs, hide));
      await host.prepareCapture(exec);
    }
    void this.#dropOld();
    watch?.(exec);
    const { span } = exec;
    await exec.start(agent, {
      ...request,
      env: { ...(span ? { TRACEPARENT: span.traceparent } : {}), ...defaults.env, ...request.env },
      cwd: request.cwd ?? workdirFor(request.user, defaults),
      user: request.user ?? defaults.user,
      ...(holdsCrashes(capture) ? { holdCrashes: true } : {}),
    });
    return exec;
  }

  /** Takes them all up in a new session. */
  async resume(agent: Agent): Promise<void> {
    await Promise.all([...this.all.values()].map((exec) => exec.resume(agent)));
  }

  /** The session is over; a later `resume` goes on. */
  detach(): void {
    for (const exec of this.all.values()) exec.detach();
  }

  async fail(error: EngineError): Promise<void> {
    await Promise.all([...this.all.values()].map((exec) => exec.fail(error)));
  }

  async close(): Promise<void> {
    await Promise.all([...this.all.values()].map((exec) => exec.close()));
  }

  /** Forgets one that has ended, with its log. */
  async drop(exec: Exec): Promise<void> {
    this.all.delete(exec.record.id);
    await exec.remove();
  }

  async #dropOld(): Promise<void> {
    const over = [...this.all.values()].filter((exec) => exec.isOver);
    for (const exec of over.slice(0, Math.max(0, over.length - KEPT_EXECS))) await this.drop(exec);
  }

  /** Before an exec is told them: nothing that it writes may be kept as it is. */
  async #learnSecrets(env: Readonly<Record<string, string>>, names: readonly string[]): Promise<void> {
    const told = Object.entries(env).filter(([name]) => names.includes(name));
    if (told.length === 0) return;
    const { record } = this.#host;
    record.secrets = sealSecrets(record.secrets, Object.fromEntries(told));
    await this.#host.persist();
  }
}

/** Secret values are left out: only the process has them. */
function requestOf(
  { argv, cwd, user, tty, masked }: ExecRecord,
  env: Readonly<Record<string, string>>,
  timeoutMs: number | undefined,
  hide: (text: string) => string,
): RecordedRequest {
  const told = Object.entries(env)
    .filter(([name]) => !masked.includes(name))
    .map(([name, value]) => [name, hide(value)]);
  return { argv, env: Object.fromEntries(told), cwd, user, tty, timeoutMs: timeoutMs ?? null };
}

/** The template's folder is its user's. Another user starts at home, or in `/` (the agent knows which). */
function workdirFor(user: string | undefined, defaults: ExecDefaults): string | undefined {
  const [name] = (user ?? defaults.user).split(":", 1);
  return name === defaults.user.split(":", 1)[0] ? defaults.workdir : undefined;
}

/** Throws `usage` for a command that Linux would not take, or an older agent. */
function checkLength(agent: Agent, argv: readonly string[], env: Readonly<Record<string, string>>): void {
  const fault = tooLong({ argv, env });
  if (fault !== undefined) throw new EngineError("usage", fault, { hint: LONG_COMMAND_HINT });
  if (agent.takesLongCommands || fitsFrame({ argv: [...argv], env })) return;
  throw new EngineError("usage", "the sandbox's agent is too old for commands of more than 57,000 bytes", {
    hint: `build the template again (thaw template build --force) and create a new sandbox; or ${LONG_COMMAND_HINT}`,
  });
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}
