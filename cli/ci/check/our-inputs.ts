/** The inputs of the Action, as action.yml has them. */
export const ourInputs: readonly string[] = [
  ...["run", "shell", "working-directory", "template", "snapshot", "name", "sandbox", "workspace", "exclude"],
  ...[
    "repository",
    "ref",
    "token",
    "env",
    "secrets",
    "network",
    "cpus",
    "memory",
    "timeout",
    "queue-timeout",
    "cache",
  ],
  ...[
    "artifacts",
    "patch",
    "outputs",
    "capture",
    "capture-store",
    "capture-timeout",
    "retention",
    "encrypt-to",
  ],
  ...[
    "rerun-on-failure",
    "isolation",
    "keep",
    "preview",
    "expose",
    "ttl",
    "comment",
    "github-token",
    "matrix",
  ],
];

/** Those that this version's Action refuses. */
export const notYet: readonly string[] = ["comment"];
