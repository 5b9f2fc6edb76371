/** Files of a captured machine: folders, the beginning of a file, and downloads. */
import { useQuery } from "@tanstack/react-query";
import type { DiskListing } from "../../../api/capture.ts";
import { thaw } from "../../client.ts";
import { CommandText } from "../../parts/command.tsx";
import { FileText, Folder, FolderPath, readBeginning, saveName } from "../../parts/files.tsx";
import { Failed, Loading } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";

function downloadUrl(id: string, path: string, { as }: { as?: "tar" } = {}): string {
  const query = new URLSearchParams({ path, ...(as === undefined ? {} : { as }) });
  return `/v1/captures/${encodeURIComponent(id)}/${as === undefined ? "files" : "tree"}?${query}`;
}

function FileContent({ id, path, listing }: { id: string; path: string; listing: DiskListing }) {
  const { level, entry } = listing;
  const content = useQuery({
    queryKey: ["capture-file", id, path, level],
    queryFn: ({ signal }) => readBeginning(thaw.captures.readFile(id, path, { level, signal })),
    enabled: entry.type === "file",
  });
  if (entry.type !== "file") return <p className="dim">This is a {entry.type}; it has no content to show.</p>;
  if (content.error !== null) return <Failed error={content.error} retry={() => void content.refetch()} />;
  if (content.data === undefined) return <Loading what="the file" />;
  return <FileText text={content.data} size={entry.size} />;
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
      <FolderPath path={path} />
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
