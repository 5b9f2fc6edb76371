import { expect, test } from "vitest";
import { EngineError } from "../../engine/errors.ts";
import { parseRecipe } from "../../engine/templates/recipe.ts";
import { shippedRecipes } from "../../engine/templates/shipped.ts";

function mistakes(text: string): string[] {
  try {
    parseRecipe(text, "t.yaml");
  } catch (error) {
    return (error as EngineError).details ?? [];
  }
  return [];
}

test("the least there can be", () => {
  const recipe = parseRecipe("name: small\nfrom: debian:bookworm\n", "t.yaml");
  expect(recipe).toMatchObject({
    name: "small",
    packages: [],
    onThaw: [],
    resources: { cpus: 1, memory: 512, disk: 4096 },
  });
});

test("every mistake at once, each with its line and column", () => {
  expect(
    mistakes(`name: Not A Name
from: alpine:3
packages: [git, "; rm -rf /"]
resources:
  memory: lots
  cpu: 2
setup:
  - name: x
network:
  - "http://example.com/"
`),
  ).toEqual([
    "t.yaml:1:1: name: lower-case letters, digits and inner dashes",
    "t.yaml:2:1: from: debian:SUITE or oci:HOST/REPOSITORY:TAG, e.g. debian:bookworm",
    "t.yaml:3:17: packages.1: a Debian package's name",
    expect.stringContaining("t.yaml:8:5: setup.0"),
    "t.yaml:5:3: resources.memory: a size such as 512M or 2GiB, a whole number of MiB",
    "t.yaml:6:3: resources.cpu: there is no such key",
    't.yaml:10:5: network.0: "http://example.com/": a port is a number from 1 to 65535, a range such as 8000-8100, or *',
  ]);
});

test("what it may be made from", () => {
  const digest = `sha256:${"0".repeat(64)}`;
  for (const from of [
    "debian:trixie",
    "oci:docker.io/library/ubuntu",
    `oci:127.0.0.1:5000/a/b-c:1.2@${digest}`,
  ])
    expect(parseRecipe(`name: t\nfrom: ${from}\n`, "t.yaml").from).toBe(from);
  for (const from of [
    "oci:ubuntu:24.04",
    "oci:host/Upper",
    "oci:host/a@sha256:1",
    "oci:https://host/a",
    "oci:--x/y",
  ])
    expect(mistakes(`name: t\nfrom: ${from}\n`)).toEqual([
      expect.stringContaining("t.yaml:2:1: from: oci:HOST[:PORT]/REPOSITORY[:TAG]"),
    ]);
  for (const from of ["debian:stable", "debian:oldstable", "debian:trixie-updates", "debian:"])
    expect(mistakes(`name: t\nfrom: "${from}"\n`)).toEqual([
      expect.stringContaining(
        "t.yaml:2:1: from: debian:SUITE is the name of a Debian suite, such as bullseye, ",
      ),
    ]);
  expect(mistakes("name: t\nfrom: oci:host/a\npackages: [git]\n")).toEqual([
    "t.yaml:3:1: packages: packages are Debian's; install an image's own in `setup`",
  ]);
});

test("YAML that is not YAML", () => {
  expect(mistakes("name: [unclosed\nfrom: x")[0]).toMatch(/^t\.yaml:\d+:\d+: /);
  expect(mistakes("- a\n- b\n")).toHaveLength(1);
  expect(mistakes("")).not.toHaveLength(0);
});

test("the shipped templates are sound", async () => {
  const recipes = await shippedRecipes("templates");
  expect(recipes.map(({ name }) => name)).toEqual([
    "base",
    "docker",
    "go",
    "java",
    "node",
    "python",
    "rust",
    "ubuntu",
  ]);
});

test("the error is the product's", () => {
  expect(() => parseRecipe("name: 1", "t.yaml")).toThrow(EngineError);
});
