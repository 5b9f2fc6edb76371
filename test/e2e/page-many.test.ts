/** The page of a host with a thousand sandboxes and five thousand failures, which is made up: the page itself is the one that is built. */
import { existsSync, readFileSync } from "node:fs";
import { createServer, request as send } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { filterSandboxes } from "../../web/views/sandboxes/rows.ts";
import { Browser } from "../helpers/browser.ts";
import { type MadeUpHost, nameOf, openMadeUpHost } from "../helpers/made-up-host.ts";

const SANDBOXES = 1000;
const CAPTURES = 5000;
const MIB = 1 << 20;
const FILES = join(import.meta.dirname, "../../dist/web");
const TYPES: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };

let host: MadeUpHost;
let browser: Browser;
let page: Page;

const server = createServer((asked, answer) => {
  const { url = "/", method, headers } = asked;
  if (url === "/v1/session") {
    answer.writeHead(200, { "content-type": "application/json" });
    answer.end(JSON.stringify({ name: "session-made-up", rights: "admin", expiresAt: null }));
  } else if (url.startsWith("/v1/")) {
    const relayed = send({ socketPath: host.socket, path: url, method, headers }, (from) => {
      answer.writeHead(from.statusCode ?? 502, from.headers);
      from.pipe(answer);
    });
    relayed.on("error", () => answer.destroy());
    answer.on("close", () => relayed.destroy());
    asked.pipe(relayed);
  } else {
    const name = join(FILES, new URL(url, "http://page").pathname);
    const file = extname(name) !== "" && existsSync(name) ? name : join(FILES, "index.html");
    answer.writeHead(200, { "content-type": TYPES[extname(file)] ?? "image/svg+xml" });
    answer.end(readFileSync(file));
  }
});

beforeAll(async () => {
  const socket = join(tmpdir(), `thaw-page-many-${process.pid}.sock`);
  host = await openMadeUpHost({ socket, sandboxes: SANDBOXES, captures: CAPTURES });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  browser = await Browser.open();
  page = await browser.page({ viewport: { width: 1280, height: 900 } });
});
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await host?.[Symbol.asyncDispose]();
});

const drawn = (): Promise<number> => page.locator("[role=row].row").count();

async function heap(): Promise<number> {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.enable");
  await session.send("HeapProfiler.collectGarbage");
  await session.send("Performance.enable");
  const { metrics } = await session.send("Performance.getMetrics");
  await session.detach();
  return metrics.find(({ name }) => name === "JSHeapUsedSize")?.value ?? Number.POSITIVE_INFINITY;
}

test("all failures and sandboxes of a large host are listed, reached by keys and found by a filter; what is drawn, and the tab's memory, are bounded", async () => {
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/failures`);
  await page.getByRole("link", { name: `Failures ${CAPTURES}` }).waitFor();
  await page.getByRole("link", { name: "fail-000000", exact: true }).waitFor();
  expect(await drawn()).toBeLessThan(60);
  await page.getByRole("link", { name: `Sandboxes ${SANDBOXES}` }).click();
  await page.getByRole("link", { name: nameOf(0), exact: true }).focus();
  await page.keyboard.press("End");
  const last = nameOf(SANDBOXES - 1);
  await page.getByRole("link", { name: last, exact: true }).waitFor();
  await expect.poll(() => page.evaluate("document.activeElement.textContent")).toBe(last);
  expect(await drawn()).toBeLessThan(60);
  const chosen = filterSandboxes(host.sandboxes.values(), { q: nameOf(777) });
  await page.getByRole("searchbox").first().fill(nameOf(777));
  await page
    .getByRole("status")
    .filter({ hasText: new RegExp(`^${chosen.length} of ${SANDBOXES}$`) })
    .waitFor();
  const first = chosen[0]?.name ?? "";
  const row = page.getByRole("row").filter({ has: page.getByRole("link", { name: first, exact: true }) });
  await row.waitFor();
  expect(await drawn()).toBeLessThan(60);
  for (let change = 0; change < 2000; change += 1) await host.change();
  await row.getByText(host.sandboxes.get(chosen[0]?.id ?? "")?.state ?? "").waitFor();
  expect(await heap()).toBeLessThan(150 * MIB);
  expect(browser.problems).toEqual([]);
});
