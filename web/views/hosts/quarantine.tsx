/** State that could not be read and is kept. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import type { QuarantineEntry } from "../../../api/schema.ts";
import { thaw } from "../../client.ts";
import { Age } from "../../parts/age.tsx";
import { act, CommandText } from "../../parts/command.tsx";
import { Failed, Loading } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";
import { removed } from "../../state/removed.ts";

function Row({ entry: { id, kind, what, reason, at, from } }: { entry: QuarantineEntry }) {
  const queries = useQueryClient();
  const again = (): Promise<void> => queries.invalidateQueries({ queryKey: ["quarantine"] });
  const restore = (): Promise<void> =>
    act({
      ...{ label: "Restore", title: `Restore ${what}` },
      args: ["quarantine", "restore", id],
      run: async () => {
        await thaw.quarantine.restore(id);
        await again();
        return "is in its place again";
      },
    });
  const remove = (): Promise<void> =>
    act({
      ...{ label: "Remove", title: `Remove ${what}` },
      args: ["quarantine", "rm", id],
      question: {
        title: `Remove ${what} for good?`,
        lines: [`This deletes ${from}, which could not be read: ${reason}`],
        verb: "Remove",
      },
      run: async () => {
        const said = await removed(thaw.quarantine.remove(id));
        await again();
        return said;
      },
    });
  return (
    <tr>
      <td className="nowrap">
        {kind} <Text text={what} />
      </td>
      <td className="wide">
        <Text text={reason} />
        <div className="dim">
          <Text className="mono" text={from} />
        </div>
      </td>
      <td className="right">
        <Age time={at} />
      </td>
      <td className="nowrap">
        <button type="button" onClick={() => void restore()}>
          Restore
        </button>{" "}
        <button type="button" className="danger" onClick={() => void remove()}>
          Remove
        </button>
      </td>
    </tr>
  );
}

export function Quarantine() {
  const entries = useQuery({
    queryKey: ["quarantine"],
    queryFn: ({ signal }) => thaw.quarantine.list({ signal }),
    staleTime: 0,
  });
  if (entries.error !== null) return <Failed error={entries.error} retry={() => void entries.refetch()} />;
  if (entries.data === undefined) return <Loading what="the quarantine" />;
  return (
    <>
      <p className="row-of">
        <span className="dim">Records that are damaged, or of a newer version, are kept aside.</span>
        <CommandText args={["quarantine", "ls"]} />
      </p>
      {entries.data.length === 0 ? (
        <p className="good">Nothing is in quarantine.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th>What</th>
              <th>Why</th>
              <th className="right">Age</th>
              <th>
                <span className="unseen">What can be done</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {entries.data.map((entry) => (
              <Row key={entry.id} entry={entry} />
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}
