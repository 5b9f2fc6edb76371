import { expect, test } from "vitest";
import { announce } from "../../../action/announce.ts";
import { neutralise } from "../../../action/neutralise.ts";
import { type CapturePlace, parseCaptureNotice } from "../../../github/capture-notice.ts";

const id = "fail-7k2qxz";
const about = { step: "echo '::error::x' && npm test", ending: "exit 1 after 41 s" };

test.each<[string, CapturePlace]>([
  ["on its host", { kind: "host", host: "ci-3" }],
  ["in a registry", { kind: "store", reference: "oci:ghcr.io/acme/failures:8812-1-unit-fail-7k2qxz" }],
  ["as an artifact", { kind: "artifact", name: "acme-shop-8812-1-unit-fail-7k2qxz" }],
])("thaw open reads what a step announces: %s", (_name, place) => {
  const announced = announce({ capture: { id, place } }, about);
  const message = neutralise(announced?.message ?? "");
  expect(parseCaptureNotice({ title: announced?.title ?? null, message })).toMatchObject({ id, place });
});

test("nothing is announced of nothing, or of a place that can't be told", () => {
  expect(announce({ capture: undefined }, about)).toBeUndefined();
  const place = { kind: "store", reference: "dir:/srv/x" } as const;
  expect(announce({ capture: { id, place } }, about)).toBeUndefined();
});
