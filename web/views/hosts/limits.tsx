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
            `${formatSize(disk.ownedBytes)}${disk.mostBytes === null ? "" : ` of ${formatSize(disk.mostBytes)}`}; ${formatSize(disk.reserveBytes)} kept free`,
          ],
          ["Output of commands", `${formatSize(logsBytes)}, ${formatSize(sandbox.logsBytes)} each sandbox`],
          [
            "One sandbox",
            [
              `${sandbox.cpus} cpus`,
              sandbox.memoryMib < memory.mostMib && `${mib(sandbox.memoryMib)} memory`,
              sandbox.diskBytes !== null && `${formatSize(sandbox.diskBytes)} disk`,
              sandbox.ttlMs !== null && `lives ${writeDuration(sandbox.ttlMs)}`,
            ]
              .filter((part) => part !== false)
              .join(", "),
          ],
          [
            "Failures kept",
            [
              captures.count !== null && `${captures.count}`,
              captures.bytes !== null && formatSize(captures.bytes),
              captures.ageMs !== null && `for ${writeDuration(captures.ageMs)}`,
            ]
              .filter((part) => part !== false)
              .join(", ") || "no limit",
          ],
        ]}
      />
      <p className="dim">
        The operator changes them in <Text className="mono" text={file} />.
      </p>
    </>
  );
}
