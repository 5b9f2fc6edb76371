import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Audit } from "../../engine/audit.ts";
import { callingAs } from "../../engine/caller.ts";

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "thaw-audit-"));
  path = join(dir, "audit.jsonl");
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** Targets of all entries, page by page. */
async function pagesOf(audit: Audit, limit: number): Promise<string[][]> {
  const pages: string[][] = [];
  let before: number | null | undefined;
  while (before !== null) {
    const page = await audit.read({ limit, before });
    pages.push(page.entries.map(({ target }) => target));
    before = page.next;
  }
  return pages;
}

test("the audit is read from its end, a page at a time, each entry once", async () => {
  const audit = new Audit(path);
  expect(await audit.read({ limit: 10 })).toEqual({ entries: [], next: null });
  callingAs({ from: "listener", token: "ann", uid: null, pid: null, client: "thaw 1" }, () => {
    for (let n = 0; n < 7; n++) audit.note("create", `é-${n}`, { note: "x".repeat(30_000) });
  });
  expect(await pagesOf(audit, 3)).toEqual([["é-6", "é-5", "é-4"], ["é-3", "é-2", "é-1"], ["é-0"]]);
  const [newest] = (await audit.read({ limit: 1 })).entries;
  expect(newest).toMatchObject({
    ...{ verb: "create", by: { from: "listener", token: "ann" } },
    details: { note: "x".repeat(30_000) },
  });
});

test("lines that are no entry are left out, and entries beyond a page's bytes come with the next", async () => {
  const audit = new Audit(path);
  audit.note("create", "first");
  await audit.flush();
  appendFileSync(path, '{"time":"2026\n[]\nnull\n');
  audit.note("create", "second");
  expect(await pagesOf(audit, 100)).toEqual([["second", "first"]]);
  for (let n = 0; n < 9; n++) audit.note("exec", `long-${n}`, { note: "y".repeat(1 << 20) });
  const pages = await pagesOf(audit, 100);
  expect(pages.length).toBeGreaterThan(1);
  expect(pages.flat()).toEqual([
    ...Array.from({ length: 9 }, (_, n) => `long-${8 - n}`),
    ...["second", "first"],
  ]);
  // one line that is longer than a page does not end the reading
  writeFileSync(path, `${"z".repeat(9 << 20)}\n`);
  expect((await pagesOf(audit, 5)).flat()).toEqual([]);
});
