import { listRows } from "../state/rows.ts";
import type { State } from "../state/state.ts";
import { views } from "../views/index.ts";
import { type Line, type Piece, paintSides, type Tone } from "./text.ts";

const dots = { here: "good", offline: "bad", connecting: "dim" } as const satisfies Record<string, Tone>;
/** With more hosts than this they are counted in place of named. */
const NAMED = 3;
const WIDE = 100;

function formatHosts({ hosts }: State, wide: boolean): Line {
  const offline = hosts.filter(({ status }) => status === "offline");
  if (hosts.length > NAMED || !wide) {
    const names = wide ? `${hosts.length} hosts ` : "";
    const connecting = hosts.every(({ status }) => status === "connecting");
    return [
      { text: offline.length === 0 ? names : `${offline.length} offline `, tone: "dim" },
      { text: "● ", tone: offline.length > 0 ? "bad" : connecting ? "dim" : "good" },
    ];
  }
  return hosts.flatMap(({ context, status }): Piece[] => [
    { text: `${context} `, tone: "dim" },
    { text: "● ", tone: dots[status] },
  ]);
}

/** The first line: the views, how much there is in each, and the hosts. */
export function formatTabs(state: State): string {
  const wide = state.size.cols >= WIDE;
  const tabs = views.flatMap((view, index): Piece[] => {
    const isShown = view.id === state.view;
    const count = listRows(view, state).rows.length;
    return [
      { text: wide ? "  " : " " },
      { text: `${index + 1} `, tone: "dim" },
      { text: view.title, tone: isShown ? "accent" : undefined },
      { text: ` ${count}`, tone: "dim" },
    ];
  });
  const name: Piece[] = wide ? [{ text: " thaw ", tone: "strong" }] : [];
  return paintSides([...name, ...tabs], formatHosts(state, wide), state.size.cols);
}
