/** Preferences that the dashboard keeps when it ends: the last view, whether its pane is open, and how each list was sorted and grouped. */

import { statSync } from "node:fs";
import { join } from "node:path";
import Conf from "conf";
import { defined } from "../../api/defined.ts";
import { findConfigFolder } from "../../client/index.ts";
import { type State, VIEW_IDS, type ViewId } from "./state/state.ts";

interface Preferences {
  view: ViewId;
  isPaneOpen: boolean;
  lists: Record<string, { sort?: string; grouping: number }>;
}

function open(): Conf<Partial<Preferences>> {
  checkFile();
  return new Conf<Partial<Preferences>>({
    cwd: findConfigFolder(),
    configName: "dashboard",
    accessPropertiesByDotNotation: false,
    // a damaged file is no reason not to open
    clearInvalidConfig: true,
  });
}

/** Ours is far smaller. */
const LARGEST_BYTES = 64 << 10;

/** @throws Error for what is no file of ours: one that is read for seconds, or a pipe that is waited for */
function checkFile(): void {
  const path = join(findConfigFolder(), "dashboard.json");
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats !== undefined && (!stats.isFile() || stats.size > LARGEST_BYTES))
    throw new Error(`${path} is not a regular file of at most ${LARGEST_BYTES >> 10} KiB`);
}

/** The state as it was left. A file that can't be read changes nothing. */
export function restorePreferences(state: State): State {
  try {
    const { view, isPaneOpen, lists = {} } = open().store;
    const restored = VIEW_IDS.map((id) => {
      const { sort, grouping } = lists[id] ?? {};
      const list = { ...state.lists[id], sort: typeof sort === "string" ? sort : undefined };
      return [id, { ...list, grouping: Number.isInteger(grouping) ? Number(grouping) : 0 }] as const;
    });
    return {
      ...state,
      view: VIEW_IDS.find((id) => id === view) ?? state.view,
      lists: Object.fromEntries(restored) as unknown as State["lists"],
      pane: { ...state.pane, isOpen: isPaneOpen !== false },
    };
  } catch {
    return state;
  }
}

/** @returns why they can't be kept; undefined when they are */
export function savePreferences({ view, lists, pane }: State): string | undefined {
  try {
    const kept = VIEW_IDS.map((id) => {
      const { sort, grouping } = lists[id];
      return [id, { ...defined({ sort }), grouping }];
    });
    open().store = { view, isPaneOpen: pane.isOpen, lists: Object.fromEntries(kept) };
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
