/** Sends a failure or a snapshot to a store of the host. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { formatSize } from "../../api/size.ts";
import { troubleOf } from "../../client/follow/state.ts";
import { thaw } from "../client.ts";
import { type Action, ActionButton, CommandText, CopyButton } from "./command.tsx";
import { Failed, Loading } from "./states.tsx";
import { Text } from "./text.tsx";

interface Outcome {
  tone: "" | "good" | "bad";
  text: string;
  hint?: string | undefined;
  /** What to pull it by. */
  reference?: string;
}

export function Push({ kind, id, name }: { kind: "capture" | "snapshot"; id: string; name: string }) {
  const stores = useQuery({
    queryKey: ["stores"],
    queryFn: ({ signal }) => thaw.transfers.stores({ signal }),
    staleTime: 0,
  });
  const [chosen, setChosen] = useState<string>();
  const [outcome, setOutcome] = useState<Outcome>();
  const [isRunning, setRunning] = useState(false);
  if (stores.error !== null) return <Failed error={stores.error} retry={() => void stores.refetch()} />;
  if (stores.data === undefined) return <Loading what="stores of the host" />;
  const [first] = stores.data;
  if (first === undefined)
    return (
      <>
        <p className="dim">
          This host&apos;s configuration names no stores, so the page can&apos;t push. The operator adds them
          to <code>config.yaml</code>: <code>stores: [oci:REGISTRY/NAME]</code>. From your own machine:
        </p>
        <p>
          <CommandText args={[kind, "push", name, "oci:REGISTRY/NAME"]} />
        </p>
      </>
    );
  const store = stores.data.find((each) => each === chosen) ?? first;
  const push: Action = {
    ...{ label: "Push", title: `Push ${name}`, args: [kind, "push", name, store] },
    refusal: isRunning ? "It is being pushed." : undefined,
    run: async (report) => {
      setRunning(true);
      const say = (text: string): void => {
        report(text);
        setOutcome({ tone: "", text });
      };
      try {
        say("begins");
        const { reference, sentBytes, presentBytes, encrypted } = await thaw.transfers.pushByHost(
          kind,
          id,
          store,
          {
            onProgress: ({ phase, state, detail }) => say(detail ?? `${phase} ${state}`),
          },
        );
        const there = presentBytes === 0 ? "" : `, ${formatSize(presentBytes)} were there`;
        const text = `${formatSize(sentBytes)} sent${there}${encrypted ? ", encrypted" : ""}`;
        setOutcome({ tone: "good", text, reference });
        return `${text}: ${reference}`;
      } catch (error) {
        const { message, hint } = troubleOf(error);
        setOutcome({ tone: "bad", text: message, hint });
        throw error;
      } finally {
        setRunning(false);
      }
    },
    extra: (
      <label className="dim value">
        To{" "}
        <select value={store} onChange={({ target }) => setChosen(target.value)}>
          {stores.data.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      </label>
    ),
  };
  return (
    <>
      <div className="narrow">
        <ActionButton action={push} />
      </div>
      {outcome !== undefined && (
        <p role="status" className={outcome.tone}>
          <Text text={outcome.text} />
          {outcome.hint !== undefined && (
            <>
              {" "}
              <Text className="dim" text={outcome.hint} />
            </>
          )}
          {outcome.reference !== undefined && (
            <>
              : <code>{outcome.reference}</code> <CopyButton text={outcome.reference} />
            </>
          )}
        </p>
      )}
    </>
  );
}
