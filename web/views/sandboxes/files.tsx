/** Files of a sandbox: folders, the beginning of a file, downloads and uploads. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ChangeEvent, useId, useState } from "react";
import type { FileEntry, Sandbox } from "../../../api/schema.ts";
import { formatSize } from "../../../api/size.ts";
import { thaw } from "../../client.ts";
import { CommandText, useMayOnlyLook } from "../../parts/command.tsx";
import {
  type Entry,
  FileText,
  Folder,
  FolderPath,
  join,
  readBeginning,
  saveName,
} from "../../parts/files.tsx";
import { Failed, Loading } from "../../parts/states.tsx";
import { startTask } from "../../state/tasks.ts";

/** What is at a path. A link leads to what it names. */
type Found =
  | { kind: "folder"; entries: readonly Entry[]; isCut: boolean }
  | { kind: "file"; text: string | null; size: number }
  | { kind: "other"; type: string };

function asEntry({ path, nameBase64, ...rest }: FileEntry): Entry {
  return { ...rest, name: path, isNameless: nameBase64 !== undefined };
}

async function look(id: string, path: string, signal: AbortSignal): Promise<Found> {
  const { files } = thaw.sandboxes.at(id);
  const { type, size } = await files.stat(path, { signal });
  if (type === "dir" || type === "symlink") {
    const listing = await files.list(path, { signal }).catch((error: unknown) => {
      // a link may lead to a file
      if (type === "symlink" && !signal.aborted) return undefined;
      throw error;
    });
    if (listing !== undefined)
      return { kind: "folder", entries: listing.entries.map(asEntry), isCut: listing.truncated };
  }
  if (type !== "file" && type !== "symlink") return { kind: "other", type };
  return { kind: "file", text: await readBeginning(files.read(path, { signal })), size };
}

function downloadUrl(id: string, path: string, as?: "tar"): string {
  const query = new URLSearchParams({ path, ...(as === undefined ? {} : { as }) });
  return `/v1/sandboxes/${encodeURIComponent(id)}/${as === undefined ? "files" : "tree"}?${query}`;
}

function Upload({ sandbox: { id, name }, path }: { sandbox: Sandbox; path: string }) {
  const queries = useQueryClient();
  const field = useId();
  const mayOnlyLook = useMayOnlyLook();
  const upload = ({ target }: ChangeEvent<HTMLInputElement>): void => {
    for (const file of target.files ?? []) {
      const to = join(path, file.name);
      void startTask({
        title: `Upload ${file.name}`,
        args: ["cp", file.name, `${name}:${to}`],
        run: async () => {
          await thaw.sandboxes.at(id).files.write(to, file);
          await queries.invalidateQueries({ queryKey: ["files", id] });
          return `${formatSize(file.size)} to ${name}:${to}`;
        },
      });
    }
    target.value = "";
  };
  if (mayOnlyLook) return null;
  return (
    <span className="upload">
      <input id={field} type="file" multiple onChange={upload} />
      <label htmlFor={field} className="button">
        Upload files
      </label>
    </span>
  );
}

function Content({ sandbox, path, found }: { sandbox: Sandbox; path: string; found: Found }) {
  const { id, name } = sandbox;
  if (found.kind === "other")
    return <p className="dim">This is a {found.type}; it has no content to show.</p>;
  const isFile = found.kind === "file";
  const whole = path === "/" ? "/." : path;
  return (
    <>
      <p className="row-of">
        {isFile ? (
          <a className="button" href={downloadUrl(id, path)} download={saveName(path)}>
            Download
          </a>
        ) : (
          <>
            <Upload sandbox={sandbox} path={path} />
            <a
              className="button"
              href={downloadUrl(id, whole, "tar")}
              download={`${name}${path === "/" ? "" : `-${saveName(path)}`}.tar`}
            >
              Download all as tar
            </a>
          </>
        )}
        <CommandText args={["cp", `${name}:${path}`, "."]} />
      </p>
      {isFile ? (
        <FileText text={found.text} size={found.size} />
      ) : (
        <Folder entries={found.entries} path={path} />
      )}
      {!isFile && found.isCut && <p className="warn">There are more entries than are shown.</p>}
    </>
  );
}

export function Files({ sandbox, path }: { sandbox: Sandbox; path: string }) {
  const { id, state, frozen } = sandbox;
  const [mayWake, setMayWake] = useState(false);
  const isAsleep = state === "paused" || frozen;
  const found = useQuery({
    queryKey: ["files", id, path],
    queryFn: ({ signal }) => look(id, path, signal),
    enabled: state === "running" || (isAsleep && mayWake),
    staleTime: 0,
  });
  if (state !== "running" && !isAsleep)
    return <p className="dim">Its files can be read while it runs. It is {state}.</p>;
  if (isAsleep && found.data === undefined && !mayWake)
    return (
      <p className="row-of">
        <span className="dim">It is {frozen ? "frozen" : state}; to read its files lets it go on.</span>
        <button type="button" onClick={() => setMayWake(true)}>
          Read its files
        </button>
      </p>
    );
  return (
    <>
      <FolderPath path={path} />
      {found.error !== null ? (
        <Failed error={found.error} retry={() => void found.refetch()} />
      ) : found.data === undefined ? (
        <Loading what={path} />
      ) : (
        <Content sandbox={sandbox} path={path} found={found.data} />
      )}
    </>
  );
}
