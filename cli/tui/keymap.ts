/** Every key of the dashboard. What is pressed, the help and docs/DASHBOARD.md come from here and from the views' verbs. */
import { GLOBAL_KEYS, type GlobalAction, showKey } from "../../client/index.ts";
import type { View } from "./views/view.ts";

const byKey = new Map(GLOBAL_KEYS.flatMap(({ keys, action }) => keys.map((key) => [key, action] as const)));

export function globalActionOf(key: string): GlobalAction | undefined {
  return byKey.get(key);
}

/** The help of one view: its verbs, then the keys that work everywhere. */
export function helpOf(view: View): readonly (readonly [keys: string, what: string])[] {
  return [
    ...view.verbs.map(({ key, help }) => [showKey(key), help] as const),
    ...GLOBAL_KEYS.map(({ keys, help }) => [keys.map(showKey).join(" "), help] as const),
  ];
}

/** The table of keys of docs/DASHBOARD.md. */
export function keysAsMarkdown(views: readonly View[]): string {
  const inTable = (text: string): string =>
    text.replaceAll("\\", "\\\\").replaceAll("|", "\\|").replaceAll("*", "\\*");
  const table = (rows: readonly (readonly [string, string])[]): string =>
    [
      "| key | what it does |",
      "|---|---|",
      ...rows.map(([key, what]) => `| ${inTable(key)} | ${inTable(what)} |`),
    ].join("\n");
  return [
    `## Everywhere\n\n${table(GLOBAL_KEYS.map(({ keys, help }) => [[...keys.map(showKey)].join(" "), help]))}`,
    ...views.map(
      ({ title, verbs }) => `## ${title}\n\n${table(verbs.map(({ key, help }) => [showKey(key), help]))}`,
    ),
  ].join("\n\n");
}
