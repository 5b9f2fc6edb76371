/** The inputs and outputs of the Action. action.yml is written from this table (scripts/write-schemas.ts). */

export interface InputDefinition {
  name: string;
  description: string;
  default?: string;
}

export const INPUTS = [
  { name: "run", description: "The script. Default with `name`: the run's own command." },
  {
    name: "shell",
    description:
      "bash, sh, python, or a command with {0} for the script's file. Default: bash -eo pipefail where the guest has bash, else sh -e.",
  },
  {
    name: "working-directory",
    description: "The script's folder in the sandbox, relative to /workspace or absolute.",
  },
  {
    name: "template",
    description:
      "What to thaw: a template by its name (thaw.yaml's or a shipped one) or its path. Default: base.",
  },
  {
    name: "snapshot",
    description: "What to thaw: a snapshot by its tag or id, or from a store (oci:HOST/REPOSITORY:TAG).",
  },
  { name: "name", description: "What to thaw and run: a run of thaw.yaml by its name." },
  {
    name: "runner",
    description: "What makes the sandbox: qemu or gvisor. Default: thaw.yaml's, else the host's.",
  },
  {
    name: "sandbox",
    description: "Continue in the sandbox of an earlier step (its output `sandbox`), which has `keep: job`.",
  },
  {
    name: "workspace",
    description:
      "The folder that is copied to /workspace. Default: the checkout, as git sees it. none: nothing.",
  },
  {
    name: "exclude",
    description:
      "Files of the workspace to leave out, in the syntax of .gitignore. Applies to tracked files too.",
  },
  {
    name: "repository",
    description:
      "OWNER/NAME: fetch this repository inside the sandbox instead of copying a checkout. The code is not copied to the runner.",
  },
  {
    name: "ref",
    description:
      "With repository: the commit, branch or tag to fetch, or refs/pull/N/head. Default: the event's commit; of another repository its default branch.",
  },
  {
    name: "token",
    description: "With repository: the token to fetch with. It stays on the host. Default: none.",
  },
  {
    name: "env",
    description:
      "Variables of the script, one per line: NAME=VALUE, or NAME for the step's own value. No other variable of the runner is passed on.",
  },
  {
    name: "secrets",
    description: "Secret variables, in the same format. Their values are masked in the log and in captures.",
  },
  {
    name: "network",
    description:
      "What the sandbox may reach: none, open or audit, and rules such as @npm, api.example.com or !ads.example.com. With `sandbox`: from this step on.",
  },
  { name: "cpus", description: "Processors, 1 to 64." },
  { name: "memory", description: "Memory, such as 512M or 2G." },
  { name: "timeout", description: "End the script after this long, such as 90s or 10m; exit code 124." },
  { name: "queue-timeout", description: "Wait this long for room on a busy host. Default: 10m." },
  {
    name: "cache",
    description:
      "Folders of the sandbox to cache on this host, one per line. A line `key: TEXT` names the cache; `restore: PREFIX` names the caches to use if there is none for the key.",
  },
  {
    name: "artifacts",
    description:
      "Files and folders of /workspace to copy back to the checkout, also after a failure: globs, one per line.",
  },
  { name: "patch", description: "Write what the script changed in the workspace to this file, as a patch." },
  {
    name: "outputs",
    description: "Names that the script may set in $GITHUB_OUTPUT. Each becomes the output `guest-NAME`.",
  },
  {
    name: "capture",
    description:
      "When to capture the machine: on-failure (the default), always, never, or a list of triggers such as timeout,oom,cancel.",
  },
  {
    name: "capture-store",
    description:
      "Where to store a capture: host, artifact (of the workflow's run), or a registry (oci:HOST/REPOSITORY).",
    default: "host",
  },
  {
    name: "capture-timeout",
    description:
      "Time limit for copying a capture to its store. A capture that is not copied in time stays on the host.",
    default: "2m",
  },
  {
    name: "retention",
    description:
      "How long to keep a capture at most, such as 7d, on the host or as an artifact (in whole days). The limits in the host's config.yaml still apply; a registry has its own rules.",
  },
  {
    name: "encrypt-to",
    description: "age recipients (age1…) to encrypt captures to when they are copied to a store.",
  },
  {
    name: "rerun-on-failure",
    description: "Rerun a failed script this many times from the same state, to tell flaky from broken.",
  },
  {
    name: "isolation",
    description: "kvm: fail if the host has no KVM. any: also run emulated, and say so in the summary.",
    default: "any",
  },
  {
    name: "keep",
    description:
      "How long to keep the sandbox: false (this step, the default), job (until the job's end), true (after the job, see ttl).",
  },
  {
    name: "preview",
    description: "Keep the sandbox as the pull request's preview.",
  },
  {
    name: "expose",
    description: "With preview: the port of the sandbox to show.",
  },
  {
    name: "ttl",
    description:
      "With keep: remove the sandbox this long after its creation. Default: 6h, with keep: true 24h.",
  },
  {
    name: "comment",
    description:
      "What to write in one comment on the pull request: preview (its address), failure (also a failed step's capture and how to open it), never (nothing).",
    default: "preview",
  },
  {
    name: "github-token",
    description: "The token for writing comments and deployments.",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the runner fills it in
    default: "${{ github.token }}",
  },
  {
    name: "matrix",
    description: "The job's matrix, for the names of captures. Leave it as it is.",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the runner fills it in
    default: "${{ toJSON(matrix) }}",
  },
] as const satisfies readonly InputDefinition[];

export type InputName = (typeof INPUTS)[number]["name"];

export const OUTPUTS = [
  {
    name: "exit-code",
    description: "The script's exit code; 124: timed out, 125: thaw failed, 130: cancelled.",
  },
  {
    name: "outcome",
    description: "success, failure, timeout, cancelled, or error (thaw's own).",
  },
  { name: "sandbox", description: "The sandbox's name, while it is kept." },
  { name: "capture", description: "The capture of the failure: its id, or its address in its store." },
  { name: "replay-command", description: "The command that opens the capture." },
  { name: "preview-url", description: "The preview's address." },
  {
    name: "flake-verdict",
    description: "With rerun-on-failure: flaky (some runs passed) or broken (all failed).",
  },
] as const;

/** Of the outputs that the guest sets. */
export const GUEST_PREFIX = "guest-";

type Environment = Readonly<Record<string, string | undefined>>;
export type InputValues = Readonly<Record<InputName, string>>;

/** The variable that the runner passes an input by. */
export function variableOf(name: string): string {
  return `INPUT_${name.replaceAll(" ", "_").toUpperCase()}`;
}

/** Each input's value, trimmed at its end; empty when it was not given and has no default. */
export function readInputs(env: Environment): InputValues {
  const values = INPUTS.map((input) => {
    const given = env[variableOf(input.name)]?.trimEnd() ?? "";
    // The runner fills in expressions.
    const fixed = "default" in input && !input.default.startsWith("${{") ? input.default : "";
    return [input.name, given.trim() === "" ? fixed : given];
  });
  return Object.fromEntries(values) as InputValues;
}

/** Inputs that were given and do not exist, in lower case. */
export function findUnknownInputs(env: Environment): string[] {
  const known = new Set<string>(INPUTS.map(({ name }) => variableOf(name)));
  return Object.keys(env)
    .filter((name) => name.startsWith("INPUT_") && !known.has(name))
    .map((name) => name.slice("INPUT_".length).toLowerCase());
}
