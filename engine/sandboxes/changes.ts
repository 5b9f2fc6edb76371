/** Requests that change a sandbox, by their ids in its record: a client whose daemon was killed asks again. */
import type { SandboxRecord } from "./record.ts";

/** A client asks again within a minute. */
const REMEMBERED = 64;

type Changed = Pick<SandboxRecord, "changes">;

/** Whether this request has changed the sandbox, or had begun to. */
export function hasChanged({ changes }: Changed, request: string | undefined): boolean {
  return request !== undefined && changes.includes(request);
}

/** Notes the request in the record. Call it in the same turn of the event loop as the change, so that one write holds both. */
export function noteChange(record: Changed, request: string | undefined): void {
  if (request !== undefined) record.changes = [...record.changes, request].slice(-REMEMBERED);
}

/** Undoes `noteChange`. */
export function forgetChange(record: Changed, request: string | undefined): void {
  record.changes = record.changes.filter((id) => id !== request);
}
