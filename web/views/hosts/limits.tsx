/** What the host's operator allows, and what is left of it. */
import { useQuery } from "@tanstack/react-query";
import { writeDuration } from "../../../api/duration.ts";
import { formatSize } from "../../../api/size.ts";
import { thaw } from "../../client.ts";
import { Facts } from "../../parts/detail.tsx";
import { Failed, Loading } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";

const AGAIN_MS = 5_000;
const mib = (value: number): string => formatSize(value * 2 ** 20);
const orNone = <T,>(value: T | null, format: (value: T) => string): string =>
  value === null ? "no limit" : format(value);

export function Limits() {
  const limits = useQuery({
    queryKey: ["limits"],
    queryFn: ({ signal }) => thaw.host.limits({ signal }),
    staleTime: 0,
    refetchInterval: AGAIN_MS,
  });
  if (limits.data === undefined)
    return limits.error === null ? (
      <Loading what="limits" />
    ) : (
      <Failed error={limits.error} retry={() => void limits.refetch()} />
    );
  const { sandboxes, memory, disk, logsBytes, sandbox, captures, file } = limits.data;
  const waiting = sandboxes.waiting === 0 ? "" : `, ${sandboxes.waiting} wait for room`;
  return (
    <>
      <Facts
        facts={[
          ["Sandboxes", `${sandboxes.now} of ${sandboxes.most}${waiting}`],
          [
            "Memory",
            `${mib(memory.ownedMib)} of ${mib(memory.mostMib)}; room for ${mib(memory.roomMib)} more, ${mib(memory.reserveMib)} kept free`,
          ],
          [
            "Disk of sandboxes",
            `${formatSize(disk.ownedBytes)} of ${orNone(disk.mostBytes, formatSize)}; ${formatSize(disk.reserveBytes)} kept free`,
          ],
          ["Output of commands", `${formatSize(logsBytes)}, ${formatSize(sandbox.logsBytes)} each sandbox`],
          [
            "One sandbox",
            `${sandbox.cpus} cpus, ${mib(sandbox.memoryMib)} memory, disk: ${orNone(sandbox.diskBytes, formatSize)}, time to live: ${orNone(sandbox.ttlMs, writeDuration)}`,
          ],
          [
            "Failures kept",
            `count: ${orNone(captures.count, String)}, size: ${orNone(captures.bytes, formatSize)}, age: ${orNone(captures.ageMs, writeDuration)}`,
          ],
        ]}
      />
      <p className="dim">
        The operator changes them in <Text className="mono" text={file} />.
      </p>
    </>
  );
}
