/** Files of a guest: the way to a folder, what is in it, the beginning of a file. */
import { Link } from "@tanstack/react-router";
import { formatSize } from "../../api/size.ts";
import { Output } from "./output.tsx";
import { Text } from "./text.tsx";

/** What is shown of a file. */
export const MAX_SHOWN = 256 * 1024;

export interface Entry {
  name: string;
  type: string;
  size: number;
  mode: number;
  uid: number;
  gid: number;
  /** Of a link. */
  target?: string | undefined;
  /** Its name has bytes that are no text, so that no path leads to it. */
  isNameless?: boolean;
}

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

/** A file's name as a browser may save it. */
export function saveName(path: string): string {
  return (path.split("/").at(-1) ?? "").replace(/[\p{C}\\/:*?"<>|]/gu, "_") || "file";
}

/** The beginning of a file; null: it is not text. */
export async function readBeginning(content: AsyncIterable<Uint8Array>): Promise<string | null> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of content) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= MAX_SHOWN) break;
  }
  const bytes = new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer()).subarray(0, MAX_SHOWN);
  return bytes.subarray(0, 8192).includes(0) ? null : new TextDecoder().decode(bytes);
}

/** @param text null: it is not text */
export function FileText({ text, size }: { text: string | null; size: number }) {
  if (text === null) return <p className="dim">This file is not text.</p>;
  return (
    <>
      {size > MAX_SHOWN && <p className="dim">The first {formatSize(MAX_SHOWN)}:</p>}
      <Output label="Content of the file" lines={text === "" ? [] : text.replace(/\n$/, "").split("\n")} />
    </>
  );
}

export function FolderPath({ path }: { path: string }) {
  return (
    <nav aria-label="Folder" className="path">
      {parents(path).map((step, index) => (
        <Link key={step.path} to="." search={(before) => ({ ...before, path: step.path })}>
          <Text text={index === 0 ? "/" : `${index === 1 ? "" : "/"}${step.name}`} />
        </Link>
      ))}
    </nav>
  );
}

function Name({ entry: { name, type, target, isNameless }, path }: { entry: Entry; path: string }) {
  const text = <Text className="mono" text={type === "dir" ? `${name}/` : name} />;
  return (
    <>
      {isNameless === true ? (
        text
      ) : (
        <Link to="." search={(before) => ({ ...before, path: join(path, name) })}>
          {text}
        </Link>
      )}
      {target !== undefined && (
        <span className="dim">
          {" "}
          → <Text className="mono" text={target} />
        </span>
      )}
    </>
  );
}

export function Folder({ entries, path }: { entries: readonly Entry[]; path: string }) {
  const sorted = entries.toSorted(
    (a, b) => Number(b.type === "dir") - Number(a.type === "dir") || a.name.localeCompare(b.name),
  );
  if (entries.length === 0) return <p className="dim">This folder is empty.</p>;
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
        {sorted.map((entry, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: names that are no text may be shown alike
          <tr key={`${entry.name} ${index}`}>
            <td className="wide">
              <Name entry={entry} path={path} />
            </td>
            <td className="right">{entry.type === "file" ? formatSize(entry.size) : entry.type}</td>
            <td className="mono">{entry.mode.toString(8).padStart(4, "0")}</td>
            <td className="right">
              {entry.uid}:{entry.gid}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
