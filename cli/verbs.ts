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
  create: { description: "thaw a sandbox that stays", load: () => import("./create/command.ts") },
  exec: { description: "run a command in a sandbox", load: () => import("./exec/command.ts") },
  attach: { description: "join a command that runs", load: () => import("./attach/command.ts") },
  shell: { description: "open a shell in a sandbox", load: () => import("./shell/command.ts") },
  logs: { description: "print what a command wrote", load: () => import("./logs/command.ts") },
  cp: { description: "copy files into and out of sandboxes", load: () => import("./cp/command.ts") },
  "ssh-config": {
    description: "print an entry for ssh's configuration that opens sandboxes",
    load: () => import("./ssh-config/command.ts"),
  },
  "ssh-proxy": {
    description: "carry one connection of ssh's",
    hidden: true,
    load: () => import("./ssh-proxy/command.ts"),
  },
  ls: { description: "list sandboxes", load: () => import("./ls/command.ts") },
  ps: {
    description: "list sandboxes; or the commands and processes of one",
    load: () => import("./ps/command.ts"),
  },
  inspect: {
    description: "print all that is known of a sandbox, snapshot or capture",
    load: () => import("./inspect/command.ts"),
  },
  rename: { description: "give a sandbox another name", load: () => import("./rename/command.ts") },
  kill: { description: "send a signal to commands in a sandbox", load: () => import("./kill/command.ts") },
  stop: {
    description: "keep sandboxes on disk and end their machines",
    load: () => import("./stop/command.ts"),
  },
  start: {
    description: "let stopped and paused sandboxes go on where they were",
    load: () => import("./start/command.ts"),
  },
  rm: { description: "remove sandboxes", load: () => import("./rm/command.ts") },
  pause: {
    description: "stop a sandbox's clock; it keeps its memory",
    load: () => import("./pause/command.ts"),
  },
  resume: { description: "let a paused sandbox go on", load: () => import("./resume/command.ts") },
  freeze: {
    description: "make a snapshot of a sandbox while it goes on",
    load: () => import("./freeze/command.ts"),
  },
  fork: { description: "make copies of a sandbox as it is now", load: () => import("./fork/command.ts") },
  extend: { description: "put a sandbox's end off", load: () => import("./extend/command.ts") },
  wait: {
    description: "wait until a sandbox stops, is gone, or an exec in it ends",
    load: () => import("./wait/command.ts"),
  },
  top: { description: "list the processes of a sandbox", load: () => import("./top/command.ts") },
  stats: { description: "memory and CPU of sandboxes", load: () => import("./stats/command.ts") },
  port: {
    description: "forward ports and unix sockets of this host into a sandbox, and list what listens in it",
    load: () => import("./port/command.ts"),
  },
  preview: {
    description: "print an address at which a browser sees a port of a sandbox",
    load: () => import("./preview/command.ts"),
  },
  network: {
    description: "show and change what a sandbox may reach, and see what it did",
    load: () => import("./network/command.ts"),
  },
  events: { description: "what happens on this host", load: () => import("./events/command.ts") },
  template: { description: "build, list and show templates", load: () => import("./template/command.ts") },
  snapshot: {
    description: "list, inspect, tag, verify, push, pull and remove snapshots",
    load: () => import("./snapshot/command.ts"),
  },
  images: { description: "list snapshots", load: () => import("./images/command.ts") },
  capture: {
    description: "list, show, check, verify, push, pull and remove what was kept of failures",
    load: () => import("./capture/command.ts"),
  },
  replay: {
    description: "thaw a captured failure and stand in it",
    load: () => import("./replay/command.ts"),
  },
  open: {
    description: "find the newest failed run of this branch on GitHub and stand in it",
    load: () => import("./open/command.ts"),
  },
  rerun: {
    description: "run a captured failure's command again and again: flaky or broken?",
    load: () => import("./rerun/command.ts"),
  },
  project: {
    description: "check the project file, print its schema",
    load: () => import("./project/command.ts"),
  },
  ci: {
    description: "write a workflow that is safe for strangers' pull requests, and check those that are there",
    load: () => import("./ci/command.ts"),
  },
  cache: {
    description: "list and remove cached folders of runs",
    load: () => import("./cache/command.ts"),
  },
  prune: {
    description: "remove captures and caches over budget, and snapshots that nothing needs",
    load: () => import("./prune/command.ts"),
  },
  quarantine: {
    description: "list, restore and delete state that could not be read",
    load: () => import("./quarantine/command.ts"),
  },
  doctor: { description: "say what this host has and lacks", load: () => import("./doctor/command.ts") },
  info: {
    description: "say which daemon answers, and how much there is of what",
    load: () => import("./info/command.ts"),
  },
  version: {
    description: "print the client's and the daemon's version",
    load: () => import("./version/command.ts"),
  },
  login: {
    description: "keep the user and password of a registry, for push and pull",
    load: () => import("./login/command.ts"),
  },
  logout: {
    description: "forget the user and password of a registry",
    load: () => import("./logout/command.ts"),
  },
  context: {
    description: "name other hosts, and choose which one is worked on",
    load: () => import("./context/command.ts"),
  },
  daemon: { description: "start, stop and look at the daemon", load: () => import("./daemon/command.ts") },
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
