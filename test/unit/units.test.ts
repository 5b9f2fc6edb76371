/** Durations and sizes: the same text means the same in a flag, in thaw.yaml, in config.yaml and in a template. */
import { expect, test } from "vitest";
import { parseDuration } from "../../cli/arguments/duration.ts";
import { parseMemory } from "../../cli/arguments/memory.ts";
import { parseProject } from "../../client/project/parse.ts";
import { parseConfig } from "../../engine/config.ts";
import { parseRecipe } from "../../engine/templates/recipe.ts";

const refused = "refused";

function attempt<T>(read: () => T): T | typeof refused {
  try {
    return read();
  } catch {
    return refused;
  }
}

function projectDefaults(line: string) {
  const text = `version: 1\ndefaults:\n  ${line}\n`;
  return parseProject(text, { file: "thaw.yaml", checkPath: () => undefined }).content.defaults;
}

test.each([
  ["500ms", 500],
  ["1.5m", 90_000],
  ["1h30m", 5_400_000],
  ["365d", 31_536_000_000],
  ["366d", refused],
  ["0s", refused],
  ["0.1ms", refused],
  ["1 h", refused],
  ["1h2", refused],
  ["-1s", refused],
  [`${"9".repeat(400)}d`, refused],
])("the duration %s", (text, ms) => {
  expect(attempt(() => parseDuration(text))).toBe(ms);
  expect(attempt(() => projectDefaults(`timeout: "${text}"`).timeout)).toBe(ms);
  expect(attempt(() => parseConfig(`defaults: { ttl: "${text}" }`).defaults.ttl)).toBe(ms);
});

test.each([
  ["512M", 512],
  ["512MB", 512],
  ["1.5GiB", 1536],
  ["2 g", 2048],
  ["131072K", 128],
  ["1T", 1_048_576],
  ["512", refused],
  ["0.3M", refused],
  ["0G", refused],
  ["-1G", refused],
  [`${"9".repeat(400)}G`, refused],
])("the size %s", (text, mib) => {
  const recipe = (): number =>
    parseRecipe(`name: a\nfrom: debian:bookworm\nresources: { memory: "${text}" }`, "t").resources.memory;
  expect(attempt(() => parseMemory(text))).toBe(mib);
  expect(attempt(() => projectDefaults(`memory: "${text}"`).memory)).toBe(mib);
  expect(attempt(() => parseConfig(`limits: { memory: "${text}" }`).limits.memory)).toBe(mib);
  expect(attempt(recipe)).toBe(mib);
});
