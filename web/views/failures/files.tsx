/** Files of a captured machine: folders, the beginning of a file, and downloads. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { DiskListing } from "../../../api/capture.ts";
import { formatSize } from "../../../api/size.ts";
import { thaw } from "../../client.ts";
import { CommandText } from "../../parts/command.tsx";
import { Output } from "../../parts/output.tsx";
import { Failed, Loading } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";

/** What is shown of a file. */
const MAX_SHOWN = 256 * 1024;

type Entry = DiskListing["entry"];

/** A path beneath another. */
export function join(folder: string, name: string): string {
  return folder.endsWith("/") ? folder + name : `${folder}/${name}`;
}

/** A folder and all above it, from `/` on. */
export function parents(path: string): { name: string; path: string }[] {
  const names = path.split("/").filter((name) => name !== "");
  return [
    { name: "/", path: "/" },
    ...names.map((name, index) => ({ name, path: `/${names.slice(0, index + 1).join("/")}` })),
  ];
}

function downloadUrl(id: string, path: string, { as }: { as?: "tar" } = {}): string {
  const query = new URLSearchParams({ path, ...(as === undefined ? {} : { as }) });
  return `/v1/captures/${encodeURIComponent(id)}/${as === undefined ? "files" : "tree"}?${query}`;
}

/** A file's name as a browser may save it. */
function saveName(path: string): string {
  return (path.split("/").at(-1) ?? "").replace(/[\p{C}\\/:*?"<>|]/gu, "_") || "file";
}

/** The beginning of a file; null: it is not text. */
async function readBeginning(
  id: string,
  { path, level, signal }: { path: string; level: DiskListing["level"]; signal: AbortSignal },
): Promise<string | null> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of thaw.captures.readFile(id, path, { level, signal })) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= MAX_SHOWN) break;
  }
  const bytes = new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer()).subarray(0, MAX_SHOWN);
  return bytes.subarray(0, 8192).includes(0) ? null : new TextDecoder().decode(bytes);
}

function FileContent({ id, path, listing }: { id: string; path: string; listing: DiskListing }) {
  const { level, entry } = listing;
  const content = useQuery({
    queryKey: ["capture-file", id, path, level],
    queryFn: ({ signal }) => readBeginning(id, { path, level, signal }),
    enabled: entry.type === "file",
  });
  if (entry.type !== "file") return <p className="dim">This is a {entry.type}; it has no content to show.</p>;
  if (content.error !== null) return <Failed error={content.error} retry={() => void content.refetch()} />;
  if (content.data === undefined) return <Loading what="the file" />;
  if (content.data === null) return <p className="dim">This file is not text.</p>;
  return (
    <>
      {entry.size > MAX_SHOWN && <p className="dim">The first {formatSize(MAX_SHOWN)}:</p>}
      <Output label="Content of the file" lines={content.data.replace(/\n$/, "").split("\n")} />
    </>
  );
}

function Folder({ entries, path }: { entries: readonly Entry[]; path: string }) {
  const sorted = entries.toSorted(
    (a, b) => Number(b.type === "dir") - Number(a.type === "dir") || a.name.localeCompare(b.name),
  );
  return (
    <table>
      <thead>
        <tr>
          <th>Name</th>
          <th className="right">Size</th>
          <th>Mode</th>
          <th className="right">Owner</th>
        </tr>
      </thead>
      <tbody>
        {sorted.map(({ name, type, size, mode, uid, gid }) => (
          <tr key={name}>
            <td className="wide">
              <Link to="." search={(before) => ({ ...before, path: join(path, name) })} className="mono">
                <Text text={type === "dir" ? `${name}/` : name} />
              </Link>
            </td>
            <td className="right">{type === "file" ? formatSize(size) : type}</td>
            <td className="mono">{mode.toString(8).padStart(4, "0")}</td>
            <td className="right">
              {uid}:{gid}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Downloads({ id, path, listing }: { id: string; path: string; listing: DiskListing }) {
  const { entry, level } = listing;
  if (entry.type === "file")
    return (
      <>
        <a className="button" href={downloadUrl(id, path)} download={saveName(path)}>
          Download
        </a>
        <CommandText args={["cp", `${id}:${path}`, "."]} />
      </>
    );
  if (entry.type !== "dir") return null;
  return (
    <>
      {level === "memory" ? (
        <a
          className="button"
          href={downloadUrl(id, path === "/" ? "/." : path, { as: "tar" })}
          download={`${id}${path === "/" ? "" : `-${saveName(path)}`}.tar`}
        >
          Download all as tar
        </a>
      ) : (
        <span className="dim">Folders can be downloaded where the machine's memory can be thawed.</span>
      )}
      <CommandText args={["cp", `${id}:${path}`, "."]} />
    </>
  );
}

export function Files({ id, path }: { id: string; path: string }) {
  const listing = useQuery({
    queryKey: ["capture-files", id, path],
    queryFn: ({ signal }) => thaw.captures.listFiles(id, path, { signal }),
  });
  return (
    <>
      <nav aria-label="Folder" className="path">
        {parents(path).map((step, index) => (
          <Link key={step.path} to="." search={(before) => ({ ...before, path: step.path })}>
            <Text text={index === 0 ? "/" : `${index === 1 ? "" : "/"}${step.name}`} />
          </Link>
        ))}
      </nav>
      {listing.error !== null ? (
        <Failed error={listing.error} retry={() => void listing.refetch()} />
      ) : listing.data === undefined ? (
        <Loading what="files; the first time, the machine is thawed for it" />
      ) : (
        <>
          {listing.data.why !== null && (
            <p className="warn">
              Read from the disk, which may be older than the failure: <Text text={listing.data.why} />
            </p>
          )}
          <p className="row-of">
            <Downloads id={id} path={path} listing={listing.data} />
          </p>
          {listing.data.entry.type === "dir" ? (
            <Folder entries={listing.data.entries} path={path} />
          ) : (
            <FileContent id={id} path={path} listing={listing.data} />
          )}
          {listing.data.truncated && <p className="warn">There are more entries than are shown.</p>}
        </>
      )}
    </>
  );
}
