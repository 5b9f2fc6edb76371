import { describeCaller, describeDetails } from "../../api/describe-audit.ts";
import type { AuditEntry, Thaw } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { cleanText } from "../format/clean-text.ts";
import { formatTable } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

export interface AuditFlags {
  limit: number;
  json?: boolean;
}

const PAGE = 1000;
const LONGEST = 120;

/** `thaw audit`: who did what, newest first. */
export async function audit({ limit, json = false }: AuditFlags): Promise<void> {
  const entries = await withClient((client) => newest(client, limit));
  if (json) printJson(entries);
  else writeOut(formatAudit(entries));
}

async function newest(client: Thaw, limit: number): Promise<AuditEntry[]> {
  const entries: AuditEntry[] = [];
  let before: number | null | undefined;
  while (entries.length < limit && before !== null) {
    const wanted = Math.min(PAGE, limit - entries.length);
    const page = await client.host.audit({ limit: wanted, ...(before === undefined ? {} : { before }) });
    entries.push(...page.entries);
    before = page.next;
  }
  return entries;
}

export function formatAudit(entries: readonly AuditEntry[], nowMs?: number): string {
  const rows = entries.map((entry) => [
    ...[formatAge(entry.time, nowMs), describeCaller(entry.by), entry.verb, cleanText(entry.target)],
    cleanText(describeDetails(entry.details)).slice(0, LONGEST),
  ]);
  return formatTable(["WHEN", "WHO", "DID", "TO", "DETAILS"], rows);
}
