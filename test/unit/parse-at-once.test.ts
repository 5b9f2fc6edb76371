import xterm from "@xterm/headless";
import { expect, test } from "vitest";
import { parseAtOnce } from "../../web/terminal/parse-at-once.ts";

test("a terminal parses without a timer", () => {
  const terminal = new xterm.Terminal({ allowProposedApi: true });
  const shown = (): string | undefined => terminal.buffer.active.getLine(0)?.translateToString(true);
  let parsed = 0;
  for (const text of ["a", "b", "c"]) {
    parseAtOnce(terminal);
    terminal.write(text, () => {
      parsed += 1;
    });
  }
  expect([shown(), parsed]).toEqual(["abc", 3]);
  terminal.write("d");
  expect(shown()).toBe("abc");
  terminal.dispose();
});
