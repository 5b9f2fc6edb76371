/** Which sandboxes the list shows, and what it says of them. */
import type { Sandbox } from "../../../api/schema.ts";
import { matches, type Search } from "../../state/search.ts";

export function stateOf({ state, frozen }: Pick<Sandbox, "state" | "frozen">): {
  text: string;
  tone: "good" | "bad" | "warn" | "dim";
} {
  if (frozen) return { text: "frozen", tone: "dim" };
  const tones = { running: "good", failed: "bad", unresponsive: "bad", creating: "warn" } as const;
  return { text: state, tone: tones[state as keyof typeof tones] ?? "dim" };
}

/** Ports of the host that lead into it, then others that something listens at. */
export function describePorts({ ports, listening }: Pick<Sandbox, "ports" | "listening">): string {
  const led = ports.map(({ port, path, guest }) => (port === guest ? `${port}` : `${port ?? path}:${guest}`));
  const others = listening.filter((port) => !ports.some(({ guest }) => guest === port));
  return [...led, ...others].join(" ");
}

export function labelsOf({ labels }: Pick<Sandbox, "labels">): string[] {
  return Object.entries(labels).map(([name, value]) => (value === "" ? name : `${name}=${value}`));
}

function hasLabel({ labels }: Sandbox, wanted: string): boolean {
  const at = wanted.indexOf("=");
  if (at < 0) return Object.hasOwn(labels, wanted);
  return labels[wanted.slice(0, at)] === wanted.slice(at + 1);
}

/** The sandboxes that all filters let through, newest first. */
export function filterSandboxes(all: Iterable<Sandbox>, search: Search): Sandbox[] {
  const isWanted = (sandbox: Sandbox): boolean =>
    (search.state === undefined || stateOf(sandbox).text === search.state) &&
    (search.from === undefined || sandbox.from === search.from) &&
    (search.label === undefined || hasLabel(sandbox, search.label)) &&
    matches(
      `${sandbox.name} ${sandbox.id} ${stateOf(sandbox).text} ${sandbox.from} ${labelsOf(sandbox).join(" ")}`,
      search.q ?? "",
    );
  return [...all].filter(isWanted).sort((a, b) => b.createdAt.localeCompare(a.createdAt));
}

const MOST_CHOICES = 300;

/** Values for a filter's choices: sorted, a few hundred at most. */
export function choicesOf(all: Iterable<Sandbox>, of: (sandbox: Sandbox) => readonly string[]): string[] {
  const values = new Set<string>();
  for (const sandbox of all) {
    if (values.size >= MOST_CHOICES) break;
    for (const value of of(sandbox)) values.add(value);
  }
  return [...values].sort();
}
