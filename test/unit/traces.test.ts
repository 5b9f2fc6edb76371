import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { Exporter } from "../../daemon/traces/otlp.ts";
import { parseConfig } from "../../engine/config.ts";
import { EngineError } from "../../engine/errors.ts";
import { beginSpan, doingFor, part, type Span, traced, traceTo, untraced } from "../../engine/tracing.ts";

interface Began {
  name: string;
  parent: string | null;
  ended: Record<string, unknown> | null;
}

/** Keeps what it is told. */
function recorder() {
  const spans: Began[] = [];
  const start = (name: string, parent: string | null): Span => {
    const span: Began = { name, parent, ended: null };
    spans.push(span);
    return {
      traceparent: `of ${name}`,
      end: (attributes = {}) => {
        span.ended = attributes;
      },
    };
  };
  traceTo({ start });
  return spans;
}

afterEach(() => traceTo(null));

describe("spans", () => {
  test("a request has one, its parts are below it, and what nobody asked for has none", async () => {
    const spans = recorder();
    const result = await doingFor("client", () =>
      traced("create", async () => {
        await part("admit", async () => {});
        await untraced(() => part("spare", async () => {}));
        return part("thaw", async () => "made");
      }),
    );
    expect(result).toBe("made");
    expect(spans).toEqual([
      { name: "create", parent: "client", ended: {} },
      { name: "admit", parent: "of create", ended: {} },
      { name: "thaw", parent: "of create", ended: {} },
    ]);
    await part("alone", async () => {});
    expect(spans).toHaveLength(3);
    beginSpan("root");
    expect(spans.at(-1)).toMatchObject({ name: "root", parent: null });
  });

  test("one that fails says the error's code and not its message", async () => {
    const spans = recorder();
    const fails = () => Promise.reject(new EngineError("no-space", "of /home/nobody"));
    await expect(traced("freeze", fails)).rejects.toThrow("of /home/nobody");
    expect(spans).toEqual([{ name: "freeze", parent: null, ended: { "error.type": "no-space" } }]);
  });

  test("without a tracer the work is done all the same", async () => {
    expect(beginSpan("exec")).toBeNull();
    expect(await doingFor("client", () => traced("run", async () => 1))).toBe(1);
  });
});

describe("the exporter", () => {
  async function withCollector(
    answer: (response: ServerResponse) => void,
    work: (exporter: Exporter, asked: () => number) => Promise<void>,
  ): Promise<void> {
    let asked = 0;
    const server = createServer((request, response) => {
      asked += 1;
      request.resume();
      answer(response);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    try {
      await work(new Exporter(`http://127.0.0.1:${port}/v1/traces`, "1"), () => asked);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  }

  const end = (exporter: Exporter, count: number): void => {
    for (let n = 0; n < count; n += 1) exporter.start("exec", null, {}).end();
  };

  test("of a collector that does not answer, what is too much is dropped and counted, and it is not waited for", async () => {
    await withCollector(
      () => {},
      async (exporter, asked) => {
        end(exporter, 5_000);
        await expect.poll(asked).toBeGreaterThan(0);
        expect(exporter.figures).toMatchObject({ sent: 0, dropped: 5_000 - 2_048 });
        // Nothing was answered, or ever will be.
        await exporter.close(20);
        expect(exporter.figures.sent).toBe(0);
      },
    );
  });

  test("what is taken is counted as sent, also at the end", async () => {
    await withCollector(
      (response) => response.end("{}"),
      async (exporter) => {
        end(exporter, 300);
        await exporter.close(60_000);
        expect(exporter.figures).toEqual({ sent: 300, dropped: 0, failure: null });
      },
    );
  });

  test("a client's traceparent is gone on with; one that does not sample is obeyed, and nonsense is none", async () => {
    await withCollector(
      (response) => response.end("{}"),
      async (exporter) => {
        const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        const own = (parent: string) => exporter.start("run", parent, {}).traceparent;
        expect(own(`00-${trace}-00f067aa0ba902b7-01`)).toMatch(RegExp(`^00-${trace}-[0-9a-f]{16}-01$`));
        const silent = exporter.start("run", `00-${trace}-00f067aa0ba902b7-00`, {});
        expect(silent.traceparent).toMatch(RegExp(`^00-${trace}-[0-9a-f]{16}-00$`));
        silent.end();
        for (const nonsense of ["", "x", `00-${"0".repeat(32)}-00f067aa0ba902b7-01`, "a".repeat(10_000)])
          expect(own(nonsense)).not.toContain(trace);
        await exporter.close(60_000);
        expect(exporter.figures).toMatchObject({ sent: 0, dropped: 0 });
      },
    );
  });
});

test.each(["localhost:4318", "ftp://a", "", "/v1"])("telemetry.endpoint %s is refused", (endpoint) => {
  expect(() => parseConfig(`telemetry: { endpoint: "${endpoint}" }`)).toThrow("1 mistake");
});
