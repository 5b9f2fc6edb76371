/** Who may use this daemon: tokens, and browsers that are logged in. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import type { Token } from "../../../api/schema.ts";
import { thaw } from "../../client.ts";
import { Age } from "../../parts/age.tsx";
import { act, CommandText } from "../../parts/command.tsx";
import { Until } from "../../parts/next.tsx";
import { Failed, Loading } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";
import { removed } from "../../state/removed.ts";
import { session } from "../../state/session.ts";
import { useValue } from "../../state/value.ts";

function Row({ token }: { token: Token }) {
  const queries = useQueryClient();
  const who = useValue(session);
  const { id, name, kind, rights, createdAt, lastUsedAt, expiresAt, parent } = token;
  const isOwn = who.state === "in" && who.who.name === name;
  const end = (): Promise<void> =>
    act({
      ...{ label: "End", title: `End ${name}` },
      args: ["token", "rm", name],
      question: {
        title: `End ${kind} ${name}?`,
        lines: [
          "What is open with it ends, and so do sessions that were made with it.",
          ...(isOwn ? ["It is the one of this page: you will have to open a new link."] : []),
        ],
        verb: "End",
      },
      run: async () => {
        const said = await removed(thaw.tokens.revoke(id), "lets nobody in any more");
        await queries.invalidateQueries({ queryKey: ["tokens"] });
        return said;
      },
    });
  return (
    <tr>
      <td className="wide">
        <Text text={name} /> {isOwn && <span className="dim">(this page)</span>}
      </td>
      <td>{kind}</td>
      <td>{rights}</td>
      <td>
        <Text text={parent ?? "–"} />
      </td>
      <td className="right">
        <Age time={createdAt} />
      </td>
      <td className="right">{lastUsedAt === null ? "–" : <Age time={lastUsedAt} />}</td>
      <td className="nowrap">{expiresAt === null ? "never" : <Until time={expiresAt} />}</td>
      <td>
        <button type="button" aria-label={`End ${name}`} onClick={() => void end()}>
          End
        </button>
      </td>
    </tr>
  );
}

export function Access() {
  const tokens = useQuery({
    queryKey: ["tokens"],
    queryFn: ({ signal }) => thaw.tokens.list({ signal }),
    staleTime: 0,
  });
  if (tokens.error !== null) return <Failed error={tokens.error} retry={() => void tokens.refetch()} />;
  if (tokens.data === undefined) return <Loading what="tokens and sessions" />;
  return (
    <>
      <p className="row-of">
        <CommandText args={["token", "ls"]} />
        <CommandText args={["token", "create", "NAME", "--rights", "read"]} />
      </p>
      {tokens.data.length === 0 ? (
        <p className="dim">No tokens and no sessions.</p>
      ) : (
        <table className="stacks">
          <thead>
            <tr>
              <th>Name</th>
              <th>Kind</th>
              <th>Rights</th>
              <th>Made with</th>
              <th className="right">Age</th>
              <th className="right">Used</th>
              <th>Ends</th>
              <th>
                <span className="unseen">End it</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {tokens.data.map((token) => (
              <Row key={token.id} token={token} />
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}
