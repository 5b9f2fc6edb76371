import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isLocalRegistry } from "../../../cli/open/locate.ts";
import { parseRun } from "../../../cli/open/run-argument.ts";
import {
  CAPTURE_NOTICE_TITLE,
  formatCaptureNotice,
  parseCaptureNotice,
} from "../../../github/capture-notice.ts";
import { parseRemoteUrl, parseRepository } from "../../../github/remote.ts";
import { findServer } from "../../../github/server.ts";
import { formatPermissions } from "../../../github/translate.ts";

const title = CAPTURE_NOTICE_TITLE;

describe("a capture's notice", () => {
  test.each([
    { kind: "store", reference: "oci:ghcr.io/acme/failures:8812-1-test" },
    { kind: "store", reference: `oci:127.0.0.1:5000/f@sha256:${"a".repeat(64)}` },
    { kind: "host", host: "ci-3.example.com" },
    { kind: "artifact", name: "thaw-8812-1-test-unit" },
  ] as const)("%o is read as it was written", (place) => {
    const notice = { id: "fail-7k2qxz", place, step: "unit (node 24)", ending: "exit 1" };
    expect(parseCaptureNotice(formatCaptureNotice(notice))).toEqual(notice);
  });

  test("whatever a step is called, nothing else of the notice changes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (step, ending) => {
        const place = { kind: "host", host: "ci-3" } as const;
        const read = parseCaptureNotice(formatCaptureNotice({ id: "fail-7k2qxz", place, step, ending }));
        expect(read).toMatchObject({ id: "fail-7k2qxz", place });
      }),
    );
  });

  test.each([
    ["another title", { title: "x", message: "thaw replay oci:ghcr.io/a/b:c\ncapture: fail-7k2qxz" }],
    ["no message", { title, message: null }],
    ["a folder of the reader's", { title, message: "thaw replay dir:/etc\ncapture: fail-7k2qxz" }],
    ["a path", { title, message: "thaw replay /etc/passwd\ncapture: fail-7k2qxz" }],
    ["a flag", { title, message: "thaw replay --core=/x\ncapture: fail-7k2qxz" }],
    ["a host that is a flag of ssh's", { title, message: "x\ncapture: fail-7k2qxz\nhost: -oProxyCommand=x" }],
    ["an id that is none", { title, message: "thaw replay oci:ghcr.io/a/b:c\ncapture: ../x" }],
    ["an artifact's path", { title, message: "thaw open\ncapture: fail-7k2qxz\nartifact: ../../x" }],
    [
      "too much",
      { title, message: `thaw replay oci:ghcr.io/a/b:c\ncapture: fail-7k2qxz\n${"x\n".repeat(9999)}` },
    ],
  ])("%s is none", (_name, annotation) => {
    expect(parseCaptureNotice(annotation)).toBeUndefined();
  });

  test("one that could not be read is not written", () => {
    const place = { kind: "store", reference: "dir:/srv/captures:x" } as const;
    expect(() => formatCaptureNotice({ id: "fail-7k2qxz", place })).toThrow(RangeError);
  });
});

test.each([
  ["https://github.com/acme/shop.git", "github.com", "acme", "shop"],
  ["https://user:pass@GitHub.com:443/acme/shop", "github.com", "acme", "shop"],
  ["git@github.com:acme/shop.git", "github.com", "acme", "shop"],
  ["ssh://git@ghes.example:2222/acme/shop.js.git", "ghes.example", "acme", "shop.js"],
  ["http://127.0.0.1:8080/acme/shop", "127.0.0.1:8080", "acme", "shop"],
])("remote %s", (url, host, owner, repo) => {
  expect(parseRemoteUrl(url)).toEqual({ host, owner, repo });
});

test.each([
  ...["", "/srv/shop.git", "../shop", "https://github.com/acme", "https://github.com/acme/shop/pull/7"],
  ...["ext::sh -c 'touch x' acme/shop", "https://evil.example?x=/acme/shop", "https://a b/acme/shop"],
  ...["git@-oProxyCommand=x:acme/shop", "https://github.com/acme/..", "https://github.com/a%2fb/shop"],
])("no repository: %s", (url) => {
  expect(parseRemoteUrl(url)).toBeUndefined();
});

test("repositories and runs as people name them", () => {
  expect(parseRepository("acme/shop")).toEqual({ owner: "acme", repo: "shop" });
  expect(parseRepository("ghes.example/acme/shop")).toEqual({
    host: "ghes.example",
    owner: "acme",
    repo: "shop",
  });
  for (const wrong of ["acme", "a/b/c/d", "acme/..", "../../x"])
    expect(() => parseRepository(wrong)).toThrow("OWNER/NAME");
  expect(parseRun("8812")).toEqual({ id: 8812 });
  const address = "https://github.com/acme/shop/actions/runs/8812";
  expect(parseRun(`${address}/attempts/2?pr=7`)).toEqual({
    repository: "github.com/acme/shop",
    id: 8812,
    attempt: 2,
  });
  expect(parseRun(`${address}/job/17#step:3:1`)).toEqual({
    repository: "github.com/acme/shop",
    id: 8812,
    job: 17,
  });
  for (const wrong of ["0", "-1", "x", "https://github.com/acme/shop/pull/7"])
    expect(() => parseRun(wrong)).toThrow("number");
});

describe("the server and whose tokens it gets", () => {
  const own = ["GH_TOKEN", "GITHUB_TOKEN"];
  test.each([
    ["github.com", {}, "https://api.github.com", own],
    [undefined, {}, "https://api.github.com", own],
    ["acme.ghe.com", {}, "https://api.acme.ghe.com", own],
    // a checkout's remote names any host: it gets no token of the environment
    ["evil.example", {}, "https://evil.example/api/v3", []],
    ["github.com.evil.example", {}, "https://github.com.evil.example/api/v3", []],
    [
      "ghes.example",
      { GH_HOST: "ghes.example" },
      "https://ghes.example/api/v3",
      ["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"],
    ],
    ["evil.example", { GITHUB_API_URL: "https://ghes.example/api/v3" }, "https://ghes.example/api/v3", own],
  ])("%s %o", (host, env, apiUrl, tokenVariables) => {
    expect(findServer(host, env)).toMatchObject({ apiUrl, tokenVariables });
  });

  test.each(["http://ghes.example/api/v3", "https://user@ghes.example", "ftp://x", "x"])("not %s", (url) => {
    expect(() => findServer(undefined, { GITHUB_API_URL: url })).toThrow("GITHUB_API_URL");
  });
});

test.each([
  ...[
    "127.0.0.1:5000",
    "LOCALHOST",
    "localhost.",
    "x.localhost:1",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "127.1",
  ],
  ...["0", "169.254.169.254", "[::1]:5000", "[::ffff:127.0.0.1]"],
])("a registry on the reader's machine: %s", (host) => {
  expect(isLocalRegistry(`oci:${host}/failures:x`)).toBe(true);
});

test.each(["ghcr.io", "registry.example:5000", "10.0.0.7:5000"])("another one: %s", (host) => {
  expect(isLocalRegistry(`oci:${host}/failures:x`)).toBe(false);
});

test("permissions as a workflow writes them", () => {
  expect(formatPermissions("issues=write; pull_requests=write")).toBe(
    "issues: write or pull-requests: write",
  );
  expect(formatPermissions("contents=read,checks=read")).toBe("contents: read, checks: read");
  expect(formatPermissions(undefined)).toBeUndefined();
});
