import { defined } from "../api/defined.ts";
import type { CapturePolicy, CreateRequest, ExecRequest, RunRequest } from "../api/schema.ts";
import { workspacePath } from "./workspace-path.ts";

const CREATED = ["source", "name", "labels", "cpus", "memoryMib", "network", "cache", "ports"] as const;
const TIMERS = ["ttlMs", "idleMs", "stopAfterMs", "removeAfterMs", "waitMs"] as const;
const EXECUTED = ["env", "mask", "user", "timeoutMs"] as const;

/** What a run is, wherever it was written: a command line's flags, a project file, a workflow's inputs. Nothing: the daemon's default. */
export interface RunSettings extends Pick<CreateRequest, (typeof CREATED)[number] | (typeof TIMERS)[number]> {
  env?: Record<string, string>;
  /** Names of variables in `env` whose values are secret. */
  mask?: string[];
  workdir?: string;
  user?: string;
  timeoutMs?: number;
  /** A folder of this host, to be copied to /workspace. */
  workspace?: string;
  /** Leave out of the workspace what git ignores. Default true. */
  ignore?: boolean;
  keep?: boolean;
  /** Which ends of the command keep the whole machine. */
  capture?: CapturePolicy;
  /** With `capture`: keep the machine as it is before the command too. */
  checkpoint?: boolean;
}

/** What is said in `over` wins; variables and labels are joined by name, as are those that are secret; rules of the network are added. */
export function overrideSettings(base: RunSettings, over: RunSettings): RunSettings {
  const joined = {
    ...(base.env && over.env ? { env: { ...base.env, ...over.env } } : {}),
    ...(base.labels && over.labels ? { labels: { ...base.labels, ...over.labels } } : {}),
    ...(base.network && over.network ? { network: [...base.network, ...over.network] } : {}),
    ...(base.mask && over.mask ? { mask: [...new Set([...base.mask, ...over.mask])] } : {}),
  };
  return { ...base, ...over, ...joined };
}

/** What `settings` has of `keys`, and only what it has. */
function pick<T extends object, K extends keyof T>(settings: T, keys: readonly K[]): Pick<T, K> {
  return Object.fromEntries(
    keys.filter((key) => settings[key] !== undefined).map((key) => [key, settings[key]]),
  ) as Pick<T, K>;
}

/** The request of a run. With a workspace the command waits for it, and starts in it unless told another folder. */
export function buildRunRequest(options: {
  argv: readonly string[];
  settings: RunSettings;
  stdin?: boolean;
  tty?: ExecRequest["tty"] | undefined;
  /** Where a capture is to say that it came from. */
  ci?: ExecRequest["ci"] | undefined;
}): RunRequest {
  const { argv, settings, stdin = false, tty, ci } = options;
  const { workspace, workdir = workspace === undefined ? undefined : workspacePath, capture } = settings;
  const captures = capture !== undefined && capture !== "never";
  return {
    create: pick(settings, [...CREATED, ...TIMERS]),
    exec: {
      argv: [...argv],
      stdin,
      ...pick(settings, EXECUTED),
      ...defined({ cwd: workdir, tty }),
      ...(captures ? { capture, ...pick(settings, ["checkpoint"]), ...defined({ ci }) } : {}),
    },
    hold: workspace !== undefined,
    keep: settings.keep === true,
  };
}
