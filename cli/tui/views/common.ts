/** Parts that several views show alike. */
import { formatAge } from "../../format/age.ts";
import type { Column } from "../draw/columns.ts";
import type { Line, Tone } from "../draw/text.ts";
import type { Row, Verb } from "./view.ts";

/** Which host a row is of; shown when there are several. */
export const hostColumn: Column<Row> = {
  title: "HOST",
  width: 8,
  rank: 5,
  cell: ({ context }) => ({ text: context, tone: "dim" }),
};

/** An age without its "ago": `12m`. */
export function shortAge(time: string, nowMs: number): string {
  return formatAge(time, nowMs).replace(" ago", "");
}

/** The time of day, of this host's zone. */
export function timeOfDay(time: string | Date): string {
  return new Date(time).toTimeString().slice(0, 8);
}

/** Names and values as lines; values that are empty are left out. */
export function pairs(values: readonly (readonly [string, string | undefined, Tone?])[]): Line[] {
  const shown = values.filter(([, value]) => value !== undefined && value !== "");
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value = "", tone]) => [
    { text: `${name.padEnd(width)}  `, tone: "dim" },
    { text: value, tone },
  ]);
}

export const heading = (text: string): Line => [{ text, tone: "strong" }];
export const plain = (text: string, tone?: Tone): Line => [{ text, tone }];

/** A row's key among all hosts. */
export function rowKey(context: string, id: string): string {
  return `${context}/${id}`;
}

/** Verbs by which things of this kind go to stores and come from them. */
export function travelVerbs(kind: "capture" | "snapshot"): Verb<Row>[] {
  return [
    {
      kind: "line",
      key: "u",
      label: "push",
      help: `Pushes the ${kind} to a store: complete the command.`,
      args: (row) => [kind, "push", row?.name ?? ""],
      rest: "oci:",
    },
    {
      kind: "line",
      key: "i",
      label: "pull",
      help: `Pulls a ${kind} from a store: complete the command.`,
      rowless: true,
      args: () => [kind, "pull"],
      rest: "oci:",
    },
  ];
}
