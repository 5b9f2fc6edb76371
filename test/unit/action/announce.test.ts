import { expect, test } from "vitest";
import { announce } from "../../../action/announce.ts";
import { neutralise } from "../../../action/neutralise.ts";
import { parseCaptureNotice } from "../../../github/capture-notice.ts";

const id = "fail-7k2qxz";
const about = { step: "echo '::error::x' && npm test", ending: "exit 1 after 41 s" };

test.each([
  ["on its host", id, { kind: "host", host: "ci-3" }],
  ["in a registry", "oci:ghcr.io/acme/failures:8812-1-unit-fail-7k2qxz", { kind: "store" }],
])("thaw open reads what a step announces: %s", (_name, reference, place) => {
  const announced = announce({ capture: { id, reference }, host: "ci-3" }, about);
  const message = neutralise(announced?.message ?? "");
  expect(parseCaptureNotice({ title: announced?.title ?? null, message })).toMatchObject({ id, place });
});

test("nothing is announced of nothing, or of a place that can't be told", () => {
  expect(announce({ capture: undefined, host: "ci-3" }, about)).toBeUndefined();
  expect(announce({ capture: { id, reference: "dir:/srv/x" }, host: "ci-3" }, about)).toBeUndefined();
});
