import { describeEvent } from "../../api/describe-event.ts";
import type { Event } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { cleanText } from "../format/clean-text.ts";
import { styleErr, styleOut, writeErr, writeOut } from "../output.ts";

export interface EventsFlags {
  follow?: boolean;
  since?: number;
  json?: boolean;
}

/** An event as a line: its id, the time of day, what, of whom, and what is known besides. */
export function formatEvent(event: Event): string {
  const time = new Date(event.time).toTimeString().slice(0, 8);
  const id = styleOut("dim", String(event.id).padStart(5));
  const exec = event.type.startsWith("exec.") ? ` ${event.target}` : "";
  const what = cleanText(`${event.type.padEnd(17)} ${event.name}${exec}`);
  return `${id}  ${time}  ${what.padEnd(40)}  ${cleanText(describeEvent(event)).slice(0, 200)}`.trimEnd();
}

/** `thaw events`: what is kept, then, when following, what comes. */
export async function events(sandbox: string | undefined, flags: EventsFlags): Promise<void> {
  const { follow = false, json = false, since = follow ? undefined : 0 } = flags;
  const onGap = (gap: { since: number; oldest: number }): void =>
    writeErr(
      `${styleErr("yellow", "thaw:")} events ${gap.since + 1} to ${gap.oldest - 1} are no longer kept\n`,
    );
  await withClient(async (client) => {
    for await (const event of client.events({ since, sandbox, follow, onGap }))
      writeOut(json ? `${JSON.stringify(event)}\n` : `${formatEvent(event)}\n`);
  });
}
