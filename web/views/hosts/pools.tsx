/** Machines that are ready before anybody asks, and folders that survive runs. */
import { useQuery } from "@tanstack/react-query";
import { formatSize } from "../../../api/size.ts";
import { thaw } from "../../client.ts";
import { Age } from "../../parts/age.tsx";
import { CommandText } from "../../parts/command.tsx";
import { Failed, Loading } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";

const EVERY_MS = 5000;

function Caches() {
  const caches = useQuery({
    queryKey: ["caches"],
    queryFn: ({ signal }) => thaw.caches.list({ signal }),
    staleTime: 0,
  });
  if (caches.error !== null) return <Failed error={caches.error} retry={() => void caches.refetch()} />;
  if (caches.data === undefined) return <Loading what="caches" />;
  if (caches.data.length === 0) return <p className="dim">No cached folders.</p>;
  return (
    <table>
      <thead>
        <tr>
          <th>Key</th>
          <th className="right">Size</th>
          <th className="right">Age</th>
        </tr>
      </thead>
      <tbody>
        {caches.data.map(({ id, key, storedBytes, createdAt }) => (
          <tr key={id}>
            <td className="wide">
              <Text className="mono" text={key} />
            </td>
            <td className="right">{formatSize(storedBytes)}</td>
            <td className="right">
              <Age time={createdAt} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export function Pools() {
  const pools = useQuery({
    queryKey: ["pools"],
    queryFn: ({ signal }) => thaw.pools.list({ signal }),
    refetchInterval: EVERY_MS,
    staleTime: 0,
  });
  if (pools.error !== null && pools.data === undefined)
    return <Failed error={pools.error} retry={() => void pools.refetch()} />;
  if (pools.data === undefined) return <Loading what="pools" />;
  const { auto, pools: all } = pools.data;
  return (
    <>
      <p className="row-of">
        <span className="dim">
          {auto ? "Pools follow the last hour's use." : "Pools are as they were set; none follows the use."}
        </span>
        <CommandText args={["pool", "ls"]} />
      </p>
      {all.length === 0 ? (
        <p className="dim">No machines are kept ready.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th>Pool</th>
              <th className="right">Ready</th>
              <th className="right">Wanted</th>
              <th className="right">Claimed</th>
              <th className="right">Found none</th>
              <th>Problem</th>
            </tr>
          </thead>
          <tbody>
            {all.map(({ name, ready, size, hits, misses, problem, cpus, memoryMib }) => (
              <tr key={`${name} ${cpus} ${memoryMib}`}>
                <td>
                  <Text text={name} />
                </td>
                <td className="right">{ready}</td>
                <td className="right">{size}</td>
                <td className="right">{hits}</td>
                <td className="right">{misses}</td>
                <td className="wide bad">
                  <Text text={problem ?? ""} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <h2>Caches</h2>
      <Caches />
    </>
  );
}
