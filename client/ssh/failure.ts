/** What it means when an ssh to a far daemon ends. */
import { formatSsh, type SshHost } from "../contexts/remote.ts";
import { ThawError } from "../errors.ts";

/** How an ssh ended. */
export interface SshEnd {
  remote: SshHost;
  /** Null when a signal ended it. */
  code: number | null;
  signal: string | null;
  /** The last lines it wrote to stderr. */
  lines: readonly string[];
  /** Whether the far daemon had begun to answer. */
  answered: boolean;
}

const SSH_FAILED = 255;

type Explanation = Pick<ThawError, "code" | "message"> & { hint: string };

/** Faults of ssh itself, by what it says. */
function explainSsh({ remote, lines }: SshEnd): Explanation {
  const said = lines.join("\n");
  const ssh = formatSsh(remote);
  if (/Permission denied|Too many authentication failures|No supported authentication/i.test(said)) {
    return {
      code: "host-not-ready",
      message: `ssh can't log in to ${remote.host} without a password`,
      hint: `load a key (ssh-add, ssh-copy-id); then "${ssh} true" must not ask for a password`,
    };
  }
  if (/Host key verification failed|HOST IDENTIFICATION HAS CHANGED/i.test(said)) {
    return {
      code: "host-not-ready",
      message: `ssh does not trust the host key of ${remote.host}`,
      hint: `run "${ssh}" once and compare the key that it shows`,
    };
  }
  if (lines.length === 0) {
    // so ends one that shared the connection of another, when that one drops
    const message = `ssh to ${remote.host} ended without a message`;
    return { code: "daemon-unreachable", message, hint: `${ssh} true` };
  }
  return { code: "daemon-unreachable", message: `ssh can't reach ${remote.host}`, hint: `${ssh} true` };
}

function explain(end: SshEnd): Explanation {
  const { remote, code, signal, answered } = end;
  const ssh = formatSsh(remote);
  if (answered) {
    const how = signal ?? `exit code ${code}`;
    return {
      code: "daemon-unreachable",
      message: `the ssh connection to ${remote.host} dropped (${how})`,
      hint: `${ssh} true; thaw --context ${remote.name} ls`,
    };
  }
  if (code === SSH_FAILED) return explainSsh(end);
  if (code === 126 || code === 127) {
    return {
      code: "host-not-ready",
      message: `ssh did not find thaw on ${remote.host}`,
      hint: `install it there (npm install -g thaw-ci), or: thaw context add ${remote.name} ${remote.url} --force --thaw PATH`,
    };
  }
  if (code === 2) {
    return {
      code: "daemon-mismatch",
      message: `thaw on ${remote.host} is too old for this client`,
      hint: `update it there; ${ssh} thaw --version`,
    };
  }
  const how = signal ?? (code === 0 ? "without an answer" : `with exit code ${code}`);
  return {
    code: "daemon-unreachable",
    message: `thaw at ${remote.host} ended ${how}`,
    hint: `${ssh} thaw daemon status`,
  };
}

/** The error that an ended ssh is. Its cause tells a kept connection that was closed meanwhile. */
export function describeSshEnd(end: SshEnd): ThawError {
  const { code, message, hint } = explain(end);
  const why = end.answered ? "ECONNRESET" : end.signal === "SIGINT" ? "EINTR" : undefined;
  const cause = why && Object.assign(new Error(message), { code: why });
  return new ThawError(code, message, { hint, details: end.lines, cause });
}

/** There is no ssh here. */
export function describeNoSsh(command: string, error: Error): ThawError {
  return new ThawError("host-not-ready", `can't run ${command}: ${error.message}`, {
    hint: "sudo apt-get install openssh-client",
  });
}
