import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .argument("[words...]", "the words after thaw; the last one is completed")
    .passThroughOptions()
    .action(async (words: string[]) => {
      const { complete } = await import("./complete.ts");
      const { writeOut } = await import("../output.ts");
      for (const word of await complete(words)) writeOut(`${word}\n`);
      exit(0);
    });
};
