/** Where the failure can be opened, and how it gets there. */
import { useQuery } from "@tanstack/react-query";
import type { Capture } from "../../../api/capture.ts";
import { formatSize } from "../../../api/size.ts";
import { thaw } from "../../client.ts";
import { CommandText } from "../../parts/command.tsx";
import { Push } from "../../parts/push.tsx";
import { Failed, Loading } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";

const WORDS = {
  memory: "resume the machine as it was",
  disk: "boot its disk",
  files: "read its files",
} as const;

export function Elsewhere({ capture: { id } }: { capture: Capture }) {
  const check = useQuery({
    queryKey: ["capture-check", id],
    queryFn: ({ signal }) => thaw.captures.check(id, { signal }),
  });
  return (
    <>
      <h2>On this host</h2>
      {check.error !== null ? (
        <Failed error={check.error} retry={() => void check.refetch()} />
      ) : check.data === undefined ? (
        <Loading what="what this host can do with it" />
      ) : (
        <table>
          <thead>
            <tr>
              <th>Level</th>
              <th>Works</th>
              <th className="right">Size</th>
              <th>Why not</th>
            </tr>
          </thead>
          <tbody>
            {check.data.levels.map(({ level, ok, reasons, bytes }) => (
              <tr key={level}>
                <td>
                  {level}: {WORDS[level]}
                </td>
                <td className={ok ? "good" : "bad"}>{ok ? "yes" : "no"}</td>
                <td className="right">{formatSize(bytes)}</td>
                <td className="wide">
                  <Text text={reasons.join("; ")} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <h2>To a store</h2>
      <Push kind="capture" id={id} name={id} />
      <h2>On another host</h2>
      <dl className="steps">
        <div>
          <dt>Once it is in a store</dt>
          <dd>
            <CommandText args={["capture", "check", `oci:REGISTRY/NAME:${id}`]} />
            <CommandText args={["replay", `oci:REGISTRY/NAME:${id}`]} />
          </dd>
        </div>
        <div>
          <dt>Export it to a file</dt>
          <dd>
            <CommandText args={["capture", "export", id, `${id}.thaw`]} />
          </dd>
        </div>
        <div>
          <dt>From a laptop that has this host as a context</dt>
          <dd>
            <CommandText args={["--context", "NAME", "replay", id]} />
          </dd>
        </div>
      </dl>
    </>
  );
}
