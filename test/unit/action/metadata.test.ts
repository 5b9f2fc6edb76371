import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { INPUTS, OUTPUTS } from "../../../action/inputs.ts";
import { actionMetadata } from "../../../action/metadata.ts";

test("action.yml is what its table says: node scripts/write-schemas.ts", () => {
  const written = readFileSync("action.yml", "utf8");
  expect(written).toBe(actionMetadata());
  const { inputs, outputs, runs } = parse(written);
  expect(Object.keys(inputs)).toEqual(INPUTS.map(({ name }) => name));
  expect(Object.keys(outputs)).toEqual(OUTPUTS.map(({ name }) => name));
  expect(runs).toEqual({
    using: "node24",
    main: "dist/action/main.mjs",
    post: "dist/action/post.mjs",
    "post-if": "always()",
  });
});
