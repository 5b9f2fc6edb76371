/** Events as they come, the newest first. */
import { useEffect, useState } from "react";
import { describeEvent } from "../../api/describe-event.ts";
import type { Event } from "../../api/schema.ts";
import { thaw } from "../client.ts";
import { followAgain } from "../state/again.ts";
import { CommandText } from "./command.tsx";
import { Failed } from "./states.tsx";
import { Text } from "./text.tsx";

const SHOWN = 300;
const LONGEST = 400;
const DRAW_MS = 100;

function useEvents(sandbox: string | undefined): { events: readonly Event[]; error: unknown } {
  const [events, setEvents] = useState<readonly Event[]>([]);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    const abort = new AbortController();
    let kept: Event[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    let last = 0;
    const follow = async (): Promise<void> => {
      for await (const event of thaw.events({ since: last, sandbox, signal: abort.signal })) {
        last = event.id;
        kept = [event, ...kept].slice(0, SHOWN);
        timer ??= setTimeout(() => {
          timer = undefined;
          setEvents(kept);
        }, DRAW_MS);
      }
    };
    void followAgain(follow, { signal: abort.signal, say: setError });
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [sandbox]);
  return { events, error };
}

/** @param sandbox only those of it and its commands */
export function Events({ sandbox, name }: { sandbox?: string; name?: string }) {
  const { events, error } = useEvents(sandbox);
  return (
    <>
      <p className="row-of">
        <CommandText args={["events", ...(name === undefined ? [] : [name]), "--follow"]} />
      </p>
      {error !== undefined && <Failed error={error} />}
      {events.length === 0 ? (
        <p className="dim">Nothing has happened yet.</p>
      ) : (
        <table className="stacks">
          <thead>
            <tr>
              <th>Time</th>
              <th>Event</th>
              {sandbox === undefined && <th>Of</th>}
              <th>What is known</th>
            </tr>
          </thead>
          <tbody>
            {events.map((event) => (
              <tr key={event.id}>
                <td className="dim nowrap">
                  <time dateTime={event.time} title={new Date(event.time).toLocaleString()}>
                    {new Date(event.time).toLocaleTimeString()}
                  </time>
                </td>
                <td className="nowrap">{event.type}</td>
                {sandbox === undefined && (
                  <td>
                    <Text text={event.name} />
                  </td>
                )}
                <td className="wide">
                  <Text text={describeEvent(event).slice(0, LONGEST)} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}
