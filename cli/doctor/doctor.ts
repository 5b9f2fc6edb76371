import { defined } from "../../api/defined.ts";
import {
  type ChosenContext,
  chooseContext,
  type DoctorReport,
  findPaths,
  type Probe,
  ThawError,
  type ThawPaths,
} from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { cleanText } from "../format/clean-text.ts";
import { printJson, styleOut, writeOut } from "../output.ts";

const NAME_WIDTH = 14;

function markOf(probe: Probe): string {
  if (probe.state === "ok") return styleOut("green", "✓");
  return probe.state === "warning" ? styleOut("yellow", "!") : styleOut("red", "✗");
}

/** The report as lines: a mark, a name and what was found; beneath it what to type. */
export function formatReport(report: DoctorReport): string {
  const lines = report.probes.flatMap((probe) => {
    const line = ` ${markOf(probe)} ${cleanText(probe.name).padEnd(NAME_WIDTH)} ${cleanText(probe.detail)}`;
    if (probe.hint === undefined) return [line];
    return [line, `   ${" ".repeat(NAME_WIDTH)} ${styleOut("dim", "→")} ${cleanText(probe.hint)}`];
  });
  lines.push(
    report.ready
      ? " ready: thaw run -- true"
      : ` ${styleOut("red", "not ready")}: mend what is marked ✗ above`,
  );
  return `${lines.join("\n")}\n`;
}

/** Which daemon is asked, and why that one. */
export function whichDaemon(
  { socket, autostart }: ThawPaths,
  env: Record<string, string | undefined> = process.env,
): Probe {
  const why =
    autostart === false
      ? "the host's own: thaw daemon install --system was run here"
      : env.THAW_SOCKET
        ? "THAW_SOCKET says so"
        : env.THAW_HOME
          ? "yours, of the THAW_HOME that is set"
          : "yours: this host has none for everybody that you may use";
  return { name: "daemon", state: "ok", fatal: false, detail: `${socket}; ${why}` };
}

/** Which host is asked, and why that one; undefined when there is no choice. */
export function whichContext({ name, remote, by }: ChosenContext): Probe | undefined {
  if (by === "default") return undefined;
  const why = by === "THAW_CONTEXT" ? "--context or THAW_CONTEXT says so" : "thaw context use chose it";
  return {
    name: "context",
    state: "ok",
    fatal: false,
    detail: `${name} (${remote?.url ?? "this host"}); ${why}`,
  };
}

/** A daemon that can't be asked is a finding of its own. */
function reportUnreachable(error: ThawError): DoctorReport {
  const detail = [error.message, ...error.details].join("; ");
  const hint = defined({ hint: error.hint });
  return { ready: false, probes: [{ name: "daemon", state: "missing", fatal: true, detail, ...hint }] };
}

/** `thaw doctor`. @returns 0 when sandboxes can run here, else 1. */
export async function doctor(flags: { json?: boolean }): Promise<number> {
  const context = chooseContext();
  const asked = whichContext(context);
  const ours = context.remote === undefined ? [whichDaemon(findPaths())] : [];
  const report = await withClient(
    async (client) => {
      const { ready, probes } = await client.host.doctor();
      return { ready, probes: [...(asked === undefined ? [] : [asked]), ...ours, ...probes] };
    },
    { context },
  ).catch((error: unknown) => {
    if (error instanceof ThawError) return reportUnreachable(error);
    throw error;
  });
  if (flags.json === true) printJson(report);
  else writeOut(formatReport(report));
  return report.ready ? 0 : 1;
}
