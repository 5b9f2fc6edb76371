/** A failure in the page, from the click on Replay to the prompt, against `thaw replay`. */
import type { Page } from "playwright-core";
import { Browser } from "../helpers/browser.ts";
import { runInGuest } from "./guest.ts";
import { interleave, timed } from "./interleave.ts";
import { openPty } from "./pty.ts";
import { figure, peer, type Row } from "./row.ts";
import { removeAll, type World } from "./world.ts";

const PROMPT = /[$#]\s*$/;
const SIZE = { rows: 40, cols: 160 };

export async function measurePageReplay(world: World): Promise<Row[]> {
  const { client, signal, thaw, env } = world;
  await using browser = await Browser.open();
  try {
    const capture = await makeFailure(world);
    const page = await browser.page({ viewport: { width: 1280, height: 900 } });
    await page.goto((await client.tokens.ticket({ rights: "operate", listen: true })).url);
    await page.getByRole("link", { name: "Failures" }).first().waitFor();
    const address = new URL(`/failures/${capture}`, page.url()).href;
    const inPage = async (): Promise<number> => {
      await page.goto(address);
      const button = page.getByRole("button", { name: "Replay", exact: true }).first();
      await button.waitFor();
      const ms = await timed(async () => {
        await button.click();
        await showsPrompt(page);
      });
      // Its machine, too, would be there during the next one.
      await removeAll(client);
      return ms;
    };
    const inTerminal = async (): Promise<number> => {
      await using pty = await openPty(thaw("replay", capture), { ...SIZE, env, signal });
      const shown = await pty.until((lines) => lines.some((line) => PROMPT.test(line)));
      // The signal that ends other commands is passed on to the shell, which takes no notice.
      await removeAll(client);
      return shown - pty.startedAt;
    };
    const { ours, against } = await interleave({
      ...{ runs: world.runs(5), ours: inPage, against: inTerminal, signal },
    });
    await client.captures.remove(capture);
    return [
      {
        name: "page: click on Replay → prompt",
        ours: figure("ms", ours),
        against: peer("thaw replay", "ms", against),
        target: { of: "ratio", bound: "at most", value: 1.3 },
      },
    ];
  } finally {
    await removeAll(client);
  }
}

/** @returns the capture's id */
async function makeFailure(world: World): Promise<string> {
  const { id } = await world.client.sandboxes.create({}, { signal: world.signal });
  const { exec } = await runInGuest(world, id, { argv: ["false"], capture: "on-failure" });
  const { captured } = exec;
  if (captured === null || "error" in captured) throw new Error(`not captured: ${captured?.error}`);
  await world.client.sandboxes.at(id).remove();
  return captured.id;
}

/** Waits until a row of the terminal in front is a prompt. */
async function showsPrompt(page: Page): Promise<void> {
  const rows = page.locator(".terminals > :not([hidden]) .xterm-rows > div").filter({ hasText: PROMPT });
  await rows.first().waitFor({ state: "attached" });
}
