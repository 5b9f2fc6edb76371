/** What can be done with a failure. */
import { useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import type { Capture } from "../../../api/capture.ts";
import { formatSize } from "../../../api/size.ts";
import { thaw } from "../../client.ts";
import type { Action } from "../../parts/command.tsx";
import { loadAhead } from "../../state/ahead.ts";
import { pageHost } from "../../state/page-host.ts";
import { removed } from "../../state/removed.ts";
import { rerun } from "./rerun.ts";

const MAX_RUNS = 1000;

/** GitHub's page of the pull request, else of the run. */
export function pageOf({ ci }: Pick<Capture, "ci">): string | undefined {
  // the case file is somebody else's text
  if (ci?.repository === undefined || !/^[\w.-]+\/[\w.-]+$/.test(ci.repository)) return undefined;
  const base = `https://github.com/${ci.repository}`;
  if (ci.pr !== undefined && /^\d+$/.test(ci.pr)) return `${base}/pull/${ci.pr}`;
  return ci.runId !== undefined && /^\d+$/.test(ci.runId) ? `${base}/actions/runs/${ci.runId}` : undefined;
}

/** No event tells of it. */
function put(capture: Capture): void {
  pageHost.set((host) => ({ ...host, captures: new Map(host.captures).set(capture.id, capture) }));
}

export function useFailureActions(capture: Capture | undefined): readonly Action[] {
  const navigate = useNavigate();
  const [count, setCount] = useState(10);
  return useMemo((): readonly Action[] => {
    if (capture === undefined) return [];
    const { id, replays, notes, storedBytes } = capture;
    const refusal =
      replays === "memory" || replays === "disk" ? undefined : "This host can't replay it; see Elsewhere.";
    const create = async (): Promise<{ id: string; name: string }> => {
      const { info } = await thaw.sandboxes.create({ source: { capture: id } });
      return info;
    };
    return [
      {
        ...{ label: "Replay", shortcut: "return", title: `Replay ${id}`, isPrimary: true, refusal },
        args: ["replay", "--keep", id],
        run: async () => {
          // the terminal is loaded while the machine thaws
          loadAhead(0);
          const sandbox = await create();
          void navigate({ to: "/sandboxes/$id", params: { id: sandbox.id }, search: { tab: "terminal" } });
          return `runs as ${sandbox.name}`;
        },
      },
      {
        ...{ label: "Rerun", shortcut: "n", title: `Rerun ${id}` },
        args: ["rerun", id, "-n", String(count)],
        run: (report) => rerun(id, count, report),
        extra: (
          <label className="dim">
            Runs{" "}
            <input
              type="number"
              min={1}
              max={MAX_RUNS}
              value={count}
              onChange={({ target }) =>
                setCount(Math.max(1, Math.min(MAX_RUNS, Math.round(target.valueAsNumber) || 1)))
              }
            />
          </label>
        ),
      },
      {
        ...{ label: "Fork", shortcut: "f", title: `Fork ${id}`, refusal },
        args: ["replay", "--keep", id, "--", "true"],
        run: async () => `another sandbox runs from it: ${(await create()).name}`,
      },
      {
        ...{ label: notes.pinned ? "Unpin" : "Pin", shortcut: "P" },
        title: `${notes.pinned ? "Unpin" : "Pin"} ${id}`,
        args: ["capture", notes.pinned ? "unpin" : "pin", id],
        run: async () => {
          put(await thaw.captures.pin(id, !notes.pinned));
          return notes.pinned ? "is no longer pinned" : "is pinned: retention does not remove it";
        },
      },
      {
        ...{ label: "Verify", shortcut: "v", title: `Verify ${id}` },
        args: ["capture", "verify", id],
        run: async () => {
          const { ok, parts } = await thaw.captures.verify(id);
          const bad = parts.filter((part) => !part.ok).map(({ name }) => name);
          if (!ok) throw new Error(bad.length > 0 ? `damaged: ${bad.join(", ")}` : "it can't be thawed here");
          return "is intact and can be thawed here";
        },
      },
      {
        ...{ label: "Remove", shortcut: "d", title: `Remove ${id}`, isDangerous: true },
        args: ["capture", "rm", id],
        question: {
          title: `Remove ${id}?`,
          lines: [
            `This deletes the captured machine and its case file for good, and frees ${formatSize(storedBytes)}.`,
            ...(notes.pinned ? ["It is pinned."] : []),
          ],
          verb: "Remove",
        },
        run: () => removed(thaw.captures.remove(id)),
        done: () => void navigate({ to: "/failures" }),
      },
    ];
  }, [capture, count, navigate]);
}
