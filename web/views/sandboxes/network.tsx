/** What a sandbox may reach, and what it did. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { visibleText } from "../../../api/clean-text.ts";
import { networkModes } from "../../../api/closed-lists.ts";
import type { NetworkEntry, NetworkState, Sandbox } from "../../../api/schema.ts";
import { formatSize } from "../../../api/size.ts";
import { thaw } from "../../client.ts";
import { CommandText } from "../../parts/command.tsx";
import { Facts } from "../../parts/detail.tsx";
import { Field, Form } from "../../parts/form.tsx";
import { Failed, Loading } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";
import { followAgain } from "../../state/again.ts";
import { startTask } from "../../state/tasks.ts";
import { wordsOf } from "./create-request.ts";

const SHOWN_ENTRIES = 200;
const SHOWN_DESTINATIONS = 200;
const DRAW_MS = 200;
const TONES = { allowed: "good", audited: "warn", denied: "bad", failed: "warn" } as const;

interface Wanted {
  mode: string;
  allow: string;
  deny: string;
}

/** Where the host says it: these rules stay, whatever a sandbox asks for. */
const OF_HOST = "config.yaml";

/** What the sandbox asked for itself, as the form has it. */
export function wantedOf({ policy }: Pick<NetworkState, "policy">): Wanted {
  const own = policy.rules.filter(({ from }) => from !== OF_HOST);
  const of = (action: string): string =>
    own
      .filter((rule) => rule.action === action)
      .map(({ rule }) => rule)
      .join("\n");
  return {
    mode: policy.from === OF_HOST || policy.from === "default" ? "" : policy.mode,
    allow: of("allow"),
    deny: of("deny"),
  };
}

/** Rules that would allow what was denied, without those that the form has. */
export function suggestionsOf(
  { destinations }: Pick<NetworkState, "destinations">,
  { allow }: Wanted,
): string[] {
  const has = new Set(wordsOf(allow));
  const rules = destinations.flatMap(({ verdict, rule }) =>
    verdict === "denied" && rule !== null ? [rule] : [],
  );
  return [...new Set(rules)].filter((rule) => !has.has(rule)).sort();
}

const HINTS = {
  allow: "NAME, *.NAME, an address, host:PORT or @PRESET; :PORTS behind",
  deny: "also where another rule allows it",
} as const;

function Edit({ sandbox: { id, name }, state }: { sandbox: Sandbox; state: NetworkState }) {
  const queries = useQueryClient();
  const [wanted, setWanted] = useState(() => wantedOf(state));
  const set = (part: Partial<Wanted>): void => setWanted((before) => ({ ...before, ...part }));
  const [allow, deny] = [wordsOf(wanted.allow), wordsOf(wanted.deny)];
  const suggested = suggestionsOf(state, wanted);
  const args = [
    ...["network", "set", name, ...(wanted.mode === "" ? [] : ["--network", wanted.mode])],
    ...allow.flatMap((rule) => ["--allow", rule]),
    ...deny.flatMap((rule) => ["--deny", rule]),
  ];
  const apply = async (): Promise<void> => {
    const mode = networkModes.find((each) => each === wanted.mode);
    await startTask({
      title: `Network of ${name}`,
      args,
      run: async () => {
        const next = await thaw.sandboxes
          .at(id)
          .network.set([{ ...(mode === undefined ? {} : { mode }), allow, deny, from: "page" }]);
        queries.setQueryData(["network", id], next);
        return `${next.policy.mode}, ${next.policy.rules.length} rules`;
      },
    });
  };
  const isSame = JSON.stringify(wanted) === JSON.stringify(wantedOf(state));
  return (
    <Form className="form" submit={apply}>
      <Field label="Mode" hint="for what no rule names">
        {(ids) => (
          <select {...ids} value={wanted.mode} onChange={({ target }) => set({ mode: target.value })}>
            <option value="">default: the host's, else none</option>
            {networkModes.map((mode) => (
              <option key={mode} value={mode}>
                {mode}
              </option>
            ))}
          </select>
        )}
      </Field>
      {(["allow", "deny"] as const).map((name) => (
        <Field key={name} label={name === "allow" ? "Allow" : "Deny"} hint={HINTS[name]}>
          {(ids) => (
            <textarea
              {...ids}
              className="mono"
              rows={3}
              spellCheck={false}
              value={wanted[name]}
              onChange={({ target }) => set({ [name]: target.value })}
            />
          )}
        </Field>
      ))}
      {suggested.length > 0 && (
        <p className="row-of span">
          Denied so far, and not allowed above:
          {suggested.slice(0, 20).map((rule) => (
            <button key={rule} type="button" onClick={() => set({ allow: [...allow, rule].join("\n") })}>
              + <Text className="mono" text={rule} />
            </button>
          ))}
          {suggested.length > 1 && (
            <button type="button" onClick={() => set({ allow: [...allow, ...suggested].join("\n") })}>
              + all {suggested.length}
            </button>
          )}
        </p>
      )}
      <p className="row-of span">
        <button type="submit" className="primary" disabled={isSame}>
          Apply
        </button>
        {!isSame && (
          <button type="button" onClick={() => setWanted(wantedOf(state))}>
            Undo
          </button>
        )}
        <CommandText args={args} />
      </p>
      <p className="dim span">
        It counts for new connections at once, and ends those that are no longer allowed. Rules of the host's
        configuration stay.
      </p>
    </Form>
  );
}

function Policy({ policy }: { policy: NetworkState["policy"] }) {
  if (policy.rules.length === 0) return <p className="dim">No rules.</p>;
  return (
    <table>
      <thead>
        <tr>
          <th>Verdict</th>
          <th>Destination</th>
          <th>Said by</th>
        </tr>
      </thead>
      <tbody>
        {policy.rules.map(({ action, rule, from }) => (
          <tr key={`${action} ${rule} ${from}`}>
            <td className={action === "allow" ? "good" : "bad"}>{action}</td>
            <td className="wide">
              <Text className="mono" text={rule} />
            </td>
            <td className="nowrap">
              <Text text={from} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Destinations({ state: { destinations } }: { state: NetworkState }) {
  if (destinations.length === 0) return <p className="dim">It has asked for no destination yet.</p>;
  return (
    <table>
      <thead>
        <tr>
          <th>Verdict</th>
          <th className="right">Times</th>
          <th>Destination</th>
          <th className="right">Sent</th>
          <th className="right">Received</th>
          <th>By</th>
        </tr>
      </thead>
      <tbody>
        {destinations.slice(0, SHOWN_DESTINATIONS).map((each) => (
          <tr key={`${each.destination} ${each.port} ${each.verdict}`} title={visibleText(each.reason)}>
            <td className={TONES[each.verdict]}>{each.verdict}</td>
            <td className="right">{each.count}</td>
            <td className="wide">
              <Text className="mono" text={`${each.destination}:${each.port}`} />
            </td>
            <td className="right">{formatSize(each.sent)}</td>
            <td className="right">{formatSize(each.received)}</td>
            <td>
              <Text text={each.processes.join(", ")} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Connections as they end, the newest first. `onMore`: some have come. */
function useEntries(id: string, onMore: () => void): readonly NetworkEntry[] {
  const [entries, setEntries] = useState<readonly NetworkEntry[]>([]);
  useEffect(() => {
    const abort = new AbortController();
    let kept: NetworkEntry[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const draw = (): void => {
      timer = undefined;
      setEntries(kept);
      onMore();
    };
    const follow = async (): Promise<void> => {
      for await (const entry of thaw.sandboxes.at(id).network.log({ follow: true, signal: abort.signal })) {
        kept = [entry, ...kept].slice(0, SHOWN_ENTRIES);
        timer ??= setTimeout(draw, DRAW_MS);
      }
    };
    // that the daemon is away is said above
    void followAgain(follow, { signal: abort.signal });
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [id, onMore]);
  return entries;
}

function Connections({ entries }: { entries: readonly NetworkEntry[] }) {
  if (entries.length === 0) return <p className="dim">No connection has ended yet.</p>;
  return (
    <table>
      <thead>
        <tr>
          <th>Time</th>
          <th>Verdict</th>
          <th>Destination</th>
          <th className="right">Sent</th>
          <th className="right">Received</th>
          <th>By</th>
          <th>Why</th>
        </tr>
      </thead>
      <tbody>
        {entries.map((each, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: entries have no name
          <tr key={index}>
            <td className="dim">{new Date(each.time).toLocaleTimeString()}</td>
            <td className={TONES[each.verdict]}>{each.verdict}</td>
            <td>
              <Text className="mono" text={`${each.name ?? each.address ?? "?"}:${each.port}`} />
            </td>
            <td className="right">{formatSize(each.sent)}</td>
            <td className="right">{formatSize(each.received)}</td>
            <td>
              <Text text={each.process ?? ""} />
            </td>
            <td className="wide dim">
              <Text text={each.reason} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export function Network({ sandbox }: { sandbox: Sandbox }) {
  const { id, name } = sandbox;
  const state = useQuery({
    queryKey: ["network", id],
    queryFn: ({ signal }) => thaw.sandboxes.at(id).network.state({ signal }),
    staleTime: 0,
  });
  const { refetch } = state;
  const [more] = useState(() => () => void refetch());
  const entries = useEntries(id, more);
  if (state.error !== null && state.data === undefined)
    return <Failed error={state.error} retry={() => void refetch()} />;
  if (state.data === undefined) return <Loading what="the policy" />;
  const { policy, maximum, unavailable, totals } = state.data;
  return (
    <>
      {unavailable !== null && <p className="warn">{unavailable}</p>}
      <Facts
        facts={[
          ["Mode", `${policy.mode} (${policy.from})`],
          [
            "At most",
            maximum === null ? undefined : `${maximum.mode}, ${maximum.rules.length} rules of the host`,
          ],
          [
            "So far",
            `${totals.allowed} allowed, ${totals.denied} denied, ${totals.failed} failed; ${formatSize(totals.sent)} sent, ${formatSize(totals.received)} received`,
          ],
        ]}
      />
      <h2>Change it</h2>
      <Edit key={id} sandbox={sandbox} state={state.data} />
      <h2>Rules in force</h2>
      <Policy policy={policy} />
      <h2>Destinations</h2>
      <p className="row-of">
        <CommandText args={["network", "suggest", name]} />
      </p>
      <Destinations state={state.data} />
      <h2>Connections</h2>
      <Connections entries={entries} />
    </>
  );
}
