/** Where `:` leads: a view, a verb of this view, or something that a key does everywhere. */

import { matches } from "../../api/matches.ts";
import { GLOBAL_KEYS, type GlobalAction } from "../../client/index.ts";
import type { State, ViewId } from "./state/state.ts";
import { viewOf, views } from "./views/index.ts";

export type Target = { name: string } & ({ view: ViewId } | { verb: string } | { action: GlobalAction });

const NAMED: readonly GlobalAction[] = ["help", "jobs", "sort", "group", "quit"];

/** Targets whose names have these letters. Those whose names begin with them come first. */
export function candidates(text: string, state: Pick<State, "view">): Target[] {
  const wanted = text.toLowerCase();
  const all: Target[] = [
    ...views.map(({ id, title }) => ({ name: title.toLowerCase(), view: id })),
    ...viewOf(state.view).verbs.map(({ label, key }) => ({ name: label, verb: key })),
    ...GLOBAL_KEYS.filter(({ action }) => NAMED.includes(action)).map(({ action }) => ({
      name: action,
      action,
    })),
  ];
  const fitting = all.filter(({ name }) => matches(name, wanted));
  return fitting.toSorted((a, b) => Number(b.name.startsWith(wanted)) - Number(a.name.startsWith(wanted)));
}
