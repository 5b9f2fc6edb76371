/** Chromium without a window, driven by a test: for what only a browser can prove. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type BrowserContext, type Browser as Chromium, chromium, type Page } from "playwright-core";

export const PROGRAM = "/usr/bin/chromium";
/** For what never comes: longer than a busy host makes of anything that comes. */
const DEADLINE_MS = 120_000;

export class Browser implements AsyncDisposable {
  readonly #chromium: Chromium;
  /**
   * What went wrong in all pages so far: exceptions that nobody caught, errors of the console (a policy that blocks something is one), pages that
   * crashed. A test that expects none asserts that it is empty.
   */
  readonly problems: string[] = [];

  private constructor(browser: Chromium) {
    this.#chromium = browser;
  }

  /** Throws where there is no Chromium: no test goes without. */
  static async open(): Promise<Browser> {
    if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: bash scripts/bootstrap.sh --tests`);
    return new Browser(
      await chromium.launch({
        ...{ executablePath: PROGRAM, headless: true, timeout: DEADLINE_MS },
        args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
      }),
    );
  }

  /** A page of a person of its own: no cookies or storage are shared with other pages. More pages of that person: `page.context().newPage()`. */
  async page(options: Parameters<Chromium["newContext"]>[0] = {}): Promise<Page> {
    const context = await this.#chromium.newContext(options);
    context.setDefaultTimeout(DEADLINE_MS);
    this.#watch(context);
    return context.newPage();
  }

  /** Ends the browser and all its pages. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#chromium.close();
  }

  #watch(context: BrowserContext): void {
    context.on("weberror", (error) => this.problems.push(String(error.error().stack ?? error.error())));
    context.on("console", (message) => {
      const { url } = message.location();
      // Chromium says so of each; the page asks for what an event named, and that may be gone by then.
      const isGone =
        / 404 /.test(message.text()) && /\/v1\/(sandboxes|captures|snapshots)\/[\w:]+$/.test(url);
      if (message.type() === "error" && !isGone) this.problems.push(`${message.text()} (${url})`);
    });
    context.on("page", (page) => page.on("crash", () => this.problems.push(`${page.url()} crashed`)));
  }
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The rules of axe that a page breaks as it is now, each with the element. */
export async function violations(page: Page): Promise<string[]> {
  // not as an inline script, which the page's policy refuses
  await page.evaluate(axe);
  return page.evaluate(
    "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => id + ': ' + html.slice(0, 200) + ' ' + failureSummary)))",
  );
}
