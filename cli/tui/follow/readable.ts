/** Which of the things that a host sends can be listed: a daemon of another version may send what we do not know. */
import { type HostState, type ListKind, newHost } from "../../../client/index.ts";
import { msToNextTick } from "../clock.ts";
import type { ViewId } from "../state/state.ts";
import { viewOf } from "../views/index.ts";

const viewsOf = { sandboxes: "sandboxes", captures: "failures", snapshots: "snapshots" } as const;

/** Whether the list can be made that has this thing. Twice, so that it is compared too. */
export function isReadable(kind: ListKind | "templates", thing: unknown): boolean {
  if (kind === "templates") return canList("templates", { templates: [thing] } as Partial<HostState>);
  return canList(viewsOf[kind], {
    [kind]: new Map([
      ["a", thing],
      ["b", thing],
    ]),
  });
}

function canList(view: ViewId, part: Partial<HostState>): boolean {
  try {
    const hosts = [{ ...newHost(""), ...part }];
    const rows = viewOf(view).rows(hosts);
    msToNextTick({ hosts, view, nowMs: 0 });
    return rows.every(({ name }) => typeof name === "string");
  } catch {
    return false;
  }
}
