import { useQuery } from "@tanstack/react-query";
import type { Sandbox } from "../../../api/schema.ts";
import { thaw } from "../../client.ts";
import { CommandText } from "../../parts/command.tsx";
import { ProcessTable } from "../../parts/processes.tsx";
import { Failed, Loading } from "../../parts/states.tsx";

/** No event tells of a guest's processes: they are asked for while somebody looks. */
const EVERY_MS = 2000;

export function Processes({ sandbox: { id, name, state } }: { sandbox: Sandbox }) {
  const isRunning = state === "running";
  const report = useQuery({
    queryKey: ["processes", id],
    queryFn: ({ signal }) => thaw.sandboxes.at(id).processes({ signal }),
    enabled: isRunning,
    refetchInterval: EVERY_MS,
    staleTime: 0,
  });
  if (!isRunning) return <p className="dim">Its processes can be seen while it runs. It is {state}.</p>;
  if (report.error !== null && report.data === undefined)
    return <Failed error={report.error} retry={() => void report.refetch()} />;
  if (report.data === undefined) return <Loading what="processes" />;
  const { processes, listening } = report.data;
  return (
    <>
      <p className="row-of">
        <span className="dim">As its guest tells it.</span>
        <CommandText args={["top", name]} />
      </p>
      <ProcessTable processes={processes} listening={listening} />
    </>
  );
}
