/** A page that is asked by Chromium's own protocol: unlike whoever drives it by playwright, it gets none of the page's WebSocket messages. */
import { once } from "node:events";
import { WebSocket } from "ws";

const DEADLINE_MS = 60_000;

interface Answer {
  id?: number;
  result?: unknown;
  error?: { message: string };
}

export class BarePage implements AsyncDisposable {
  readonly #socket: WebSocket;
  #session: string | undefined;
  #asked = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  /** @param endpoint of the browser @param hiding the address of a page that is not meant */
  static async open(endpoint: string, hiding: string): Promise<BarePage> {
    const socket = new WebSocket(endpoint);
    await once(socket, "open");
    const page = new BarePage(socket);
    const { targetInfos } = await page.#ask<{
      targetInfos: { targetId: string; type: string; url: string }[];
    }>("Target.getTargets");
    const target = targetInfos.find(({ type, url }) => type === "page" && url !== hiding);
    if (target === undefined) throw new Error("Chromium has no page");
    const { sessionId } = await page.#ask<{ sessionId: string }>("Target.attachToTarget", {
      ...{ targetId: target.targetId, flatten: true },
    });
    page.#session = sessionId;
    return page;
  }

  /** The value of an expression that is evaluated in it. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result } = await this.#ask<{ result: { value: T } }>("Runtime.evaluate", {
      ...{ expression, returnByValue: true },
    });
    return result.value;
  }

  /** Resolves when the page has taken note of it. */
  async click(x: number, y: number): Promise<void> {
    for (const type of ["mousePressed", "mouseReleased"])
      await this.#ask("Input.dispatchMouseEvent", { type, x, y, button: "left", clickCount: 1 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await once(this.#socket, "close");
  }

  #ask<T>(method: string, params: object = {}): Promise<T> {
    this.#asked += 1;
    const id = this.#asked;
    const session = this.#session === undefined ? {} : { sessionId: this.#session };
    this.#socket.send(JSON.stringify({ id, method, params, ...session }));
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${method} had no answer`)), DEADLINE_MS);
      const take = (data: Buffer): void => {
        const answer = JSON.parse(String(data)) as Answer;
        if (answer.id !== id) return;
        clearTimeout(timer);
        this.#socket.off("message", take);
        if (answer.error === undefined) resolve(answer.result as T);
        else reject(new Error(`${method}: ${answer.error.message}`));
      };
      this.#socket.on("message", take);
    });
  }
}
