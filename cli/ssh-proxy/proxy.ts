import { type ExecInfo, LastLines, ThawError } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { writeFully } from "../exec-io/fd-writer.ts";
import { nameOurselves } from "../exec-io/own-name.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { passStdin } from "../exec-io/stdin.ts";
import { sandboxOfSshHost } from "../ssh-config/entry.ts";
import { findSshKey } from "../ssh-config/key.ts";
import { NO_SERVER_CODE, planSshServer } from "./server.ts";

/** What an sshd that ended without a message means. */
function describeFailure(sandbox: string, { exit, error }: ExecInfo, details: readonly string[]): ThawError {
  if (exit?.code === NO_SERVER_CODE || error !== null) {
    return new ThawError("unsupported", `sandbox ${sandbox} has no sshd`, {
      hint: `add openssh-server to its template's packages, or use thaw shell ${sandbox}, which needs no sshd`,
      details: error === null ? [] : [error.message],
    });
  }
  const how = exit?.signal ?? `exit code ${exit?.code ?? "unknown"}`;
  return new ThawError("exec-refused", `sshd in sandbox ${sandbox} ended immediately (${how})`, {
    hint: `thaw exec ${sandbox} -- /usr/sbin/sshd -t`,
    details,
  });
}

/** `thaw ssh-proxy`: joins stdin and stdout with an sshd started in the sandbox for this one connection. @returns the exit code. */
export async function proxySsh(host: string): Promise<number> {
  const sandbox = sandboxOfSshHost(host);
  const { publicKey } = await findSshKey();
  return withClient(async (client) => {
    using abort = abortOnSignals();
    const { signal } = abort;
    const said = new LastLines();
    let answered = false;
    const started = await client.sandboxes.at(sandbox).startDetached(planSshServer(publicKey), { signal });
    const exec = client.sandboxes.at(started.sandbox).execAt(started.id);
    try {
      const connection = await exec.attach({
        ...{ stdin: true, as: nameOurselves(), signal },
        stdout: (chunk) => {
          answered = true;
          return writeFully(1, chunk);
        },
        stderr: (chunk) => said.push(chunk),
      });
      passStdin(connection).catch(() => connection.endStdin());
      const ended = await connection.result;
      if (!answered) throw describeFailure(sandbox, ended, said.lines);
      return 0;
    } catch (error) {
      const over = signal.aborted || answered;
      // nobody is left to talk to it
      if (over) await exec.kill().catch(() => {});
      // this is how ssh ends whoever carried its connection
      if (answered && signal.aborted) return 0;
      throw error;
    }
  });
}
