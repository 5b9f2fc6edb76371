import type { Command } from "commander";

/**
 * Fills in a command's arguments, flags and action; the action reports the exit code through `exit`. `words` is the whole command line.
 */
export type Define = (command: Command, exit: (code: number) => void, words: readonly string[]) => void;

/** A verb of the command line. Only the one that is asked for is loaded. */
export interface Verb {
  description: string;
  hidden?: boolean;
  load: () => Promise<{ define: Define }>;
}

export const verbs: Readonly<Record<string, Verb>> = {
  run: {
    description: "thaw a sandbox, run a command in it, remove it",
    load: () => import("./run/command.ts"),
  },
  create: {
    description: "create a sandbox that stays until it is removed",
    load: () => import("./create/command.ts"),
  },
  exec: { description: "run a command in a sandbox", load: () => import("./exec/command.ts") },
  attach: { description: "attach to a running command", load: () => import("./attach/command.ts") },
  shell: { description: "open a shell in a sandbox", load: () => import("./shell/command.ts") },
  logs: { description: "print the output of a command", load: () => import("./logs/command.ts") },
  cp: { description: "copy files into and out of sandboxes", load: () => import("./cp/command.ts") },
  "ssh-config": {
    description: "print an entry for ~/.ssh/config, so that ssh can open sandboxes",
    load: () => import("./ssh-config/command.ts"),
  },
  "ssh-proxy": {
    description: "carry one connection of ssh's",
    hidden: true,
    load: () => import("./ssh-proxy/command.ts"),
  },
  ls: { description: "list sandboxes", load: () => import("./ls/command.ts") },
  ps: {
    description: "list sandboxes, or the commands and processes of one sandbox",
    load: () => import("./ps/command.ts"),
  },
  inspect: {
    description: "print the details of a sandbox, snapshot or capture",
    load: () => import("./inspect/command.ts"),
  },
  rename: { description: "give a sandbox another name", load: () => import("./rename/command.ts") },
  kill: { description: "send a signal to commands in a sandbox", load: () => import("./kill/command.ts") },
  stop: {
    description: "save sandboxes to disk and end their machines",
    load: () => import("./stop/command.ts"),
  },
  start: {
    description: "resume stopped and paused sandboxes",
    load: () => import("./start/command.ts"),
  },
  rm: { description: "remove sandboxes", load: () => import("./rm/command.ts") },
  pause: {
    description: "pause a sandbox; its memory stays in RAM",
    load: () => import("./pause/command.ts"),
  },
  resume: { description: "resume a paused sandbox", load: () => import("./resume/command.ts") },
  freeze: {
    description: "make a snapshot of a sandbox; the sandbox keeps running",
    load: () => import("./freeze/command.ts"),
  },
  fork: { description: "make copies of a sandbox as it is now", load: () => import("./fork/command.ts") },
  extend: { description: "extend a sandbox's time to live", load: () => import("./extend/command.ts") },
  set: {
    description: "change a sandbox's timers and labels",
    load: () => import("./set/command.ts"),
  },
  wait: {
    description: "wait until a sandbox stops or is removed, or until an exec in it ends",
    load: () => import("./wait/command.ts"),
  },
  top: {
    description: "show live what all sandboxes use, or the processes of one",
    load: () => import("./top/command.ts"),
  },
  stats: {
    description: "print the memory and CPU use of sandboxes",
    load: () => import("./stats/command.ts"),
  },
  port: {
    description: "forward ports and unix sockets of this host into a sandbox, and list its listening ports",
    load: () => import("./port/command.ts"),
  },
  preview: {
    description: "print a URL that opens a port of a sandbox in a browser",
    load: () => import("./preview/command.ts"),
  },
  network: {
    description: "show and change a sandbox's network policy, and list its connections",
    load: () => import("./network/command.ts"),
  },
  events: { description: "print the events of this host", load: () => import("./events/command.ts") },
  template: {
    description: "build, list, show and edit templates",
    load: () => import("./template/command.ts"),
  },
  snapshot: {
    description: "manage snapshots",
    load: () => import("./snapshot/command.ts"),
  },
  images: { description: "list snapshots", load: () => import("./images/command.ts") },
  capture: {
    description: "manage captures of failed runs",
    load: () => import("./capture/command.ts"),
  },
  replay: {
    description: "thaw a capture of a failed run and open a shell in it",
    load: () => import("./replay/command.ts"),
  },
  open: {
    description: "find the newest failed run of this branch on GitHub and replay its capture",
    load: () => import("./open/command.ts"),
  },
  rerun: {
    description: "run the command of a capture several times, to tell flaky from broken",
    load: () => import("./rerun/command.ts"),
  },
  mcp: {
    description: "serve agents over MCP: list failures, open them, try fixes",
    load: () => import("./mcp/command.ts"),
  },
  project: {
    description: "check the project file (thaw.yaml), or print its schema",
    load: () => import("./project/command.ts"),
  },
  ci: {
    description:
      "write a GitHub workflow that is safe for pull requests of forks, and check existing workflows",
    load: () => import("./ci/command.ts"),
  },
  cache: {
    description: "list and remove cached folders of runs",
    load: () => import("./cache/command.ts"),
  },
  pool: {
    description: "list the machines that are kept ready for run and create",
    load: () => import("./pool/command.ts"),
  },
  ui: {
    description: "open the dashboard in a browser",
    load: () => import("./ui/command.ts"),
  },
  token: {
    description: "make, list and end tokens for the daemon's TCP listener",
    load: () => import("./token/command.ts"),
  },
  config: {
    description: "change settings of this host",
    load: () => import("./config/command.ts"),
  },
  df: {
    description: "show what takes the host's disk, and what prune would free",
    load: () => import("./df/command.ts"),
  },
  prune: {
    description: "remove captures and caches beyond their limits, unused snapshots and steps of templates",
    load: () => import("./prune/command.ts"),
  },
  audit: {
    description: "show who did what on this host",
    load: () => import("./audit/command.ts"),
  },
  quarantine: {
    description: "list, restore and delete state files that thaw could not read",
    load: () => import("./quarantine/command.ts"),
  },
  doctor: {
    description: "check that this host can run sandboxes",
    load: () => import("./doctor/command.ts"),
  },
  info: {
    description: "show the daemon, and count its sandboxes, snapshots and captures",
    load: () => import("./info/command.ts"),
  },
  version: {
    description: "print the client's and the daemon's version",
    load: () => import("./version/command.ts"),
  },
  login: {
    description: "store the user and password of a registry, for push and pull",
    load: () => import("./login/command.ts"),
  },
  logout: {
    description: "remove the stored user and password of a registry",
    load: () => import("./logout/command.ts"),
  },
  context: {
    description: "manage names for other hosts, and choose the host that commands use",
    load: () => import("./context/command.ts"),
  },
  daemon: {
    description: "start, stop, install and inspect the daemon",
    load: () => import("./daemon/command.ts"),
  },
  completion: {
    description: "print a shell's completion script",
    load: () => import("./completion/command.ts"),
  },
  __complete: {
    description: "complete words",
    hidden: true,
    load: () => import("./completion/complete-command.ts"),
  },
};
