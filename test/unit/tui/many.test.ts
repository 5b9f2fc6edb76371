/** A thousand sandboxes and five thousand failures: a key looks at those that the window shows, and no frame is higher than the window. */
import { renderToString } from "ink";
import { createElement } from "react";
import stringWidth from "string-width";
import { beforeEach, describe, expect, test } from "vitest";
import { Actor } from "../../../cli/tui/act.ts";
import { Frame } from "../../../cli/tui/draw/dashboard.tsx";
import { layOutWindow } from "../../../cli/tui/draw/layout.ts";
import { press } from "../../../cli/tui/input.ts";
import { listRows } from "../../../cli/tui/state/rows.ts";
import type { State, ViewId } from "../../../cli/tui/state/state.ts";
import { Store } from "../../../cli/tui/state/store.ts";
import { viewOf } from "../../../cli/tui/views/index.ts";
import { capture, dashboard, now, sandbox } from "./world.ts";

const SANDBOXES = 1000;
const CAPTURES = 5000;
const size = { cols: 120, rows: 40 };
const numbered = (index: number): string => String(index).padStart(4, "0");
const before = (index: number): string => new Date(now - 3_600_000 - index * 60_000).toISOString();

/** Ids of the sandboxes and captures that the code has read. */
const seen = new Set<string>();

/** The same thing, which notes that it is looked at. */
function watched<T extends { id: string }>(thing: T): T {
  return new Proxy(thing, {
    get: (target, name, receiver) => {
      if (name !== "id") seen.add(target.id);
      return Reflect.get(target, name, receiver);
    },
  });
}

function manyOf<T extends { id: string }>(count: number, make: (index: number) => T): Map<string, T> {
  return new Map(
    Array.from({ length: count }, (_, index) => watched(make(index))).map((each) => [each.id, each]),
  );
}

function crowded(): State {
  const base = dashboard(size);
  const [host] = base.hosts;
  if (host === undefined) throw new Error("no host");
  const sandboxes = manyOf(SANDBOXES, (index) =>
    sandbox({ id: `s${index}`, name: `job-${numbered(index)}`, createdAt: before(index) }),
  );
  const captures = manyOf(CAPTURES, (index) =>
    capture({ id: `fail-${numbered(index)}`, createdAt: before(index), fingerprint: String(index % 40) }),
  );
  return { ...base, hosts: [{ ...host, sandboxes, captures }] };
}

let store: Store;
beforeEach(() => {
  store = new Store(crowded());
  draw();
});

/** Draws a frame that is as high as the window. @returns its lines */
function draw(): string[] {
  const { state } = store;
  const frame = renderToString(createElement(Frame, { state }), { columns: state.size.cols });
  const lines = frame.split("\n");
  expect(lines).toHaveLength(state.size.rows);
  for (const line of lines) expect(stringWidth(line)).toBeLessThanOrEqual(state.size.cols);
  return lines;
}

/** Presses a key and draws. @returns how many things were looked at for it */
function type(name: string): number {
  const ignore = (): void => {};
  const actor = new Actor({
    ...{ store, current: "ci-3", handOver: (work) => work(), signal: new AbortController().signal },
    client: () => {
      throw new Error("the host was asked");
    },
  });
  seen.clear();
  const text = name.length === 1 ? name : "";
  press({ name, text }, { store, actor, quit: ignore, suspend: ignore, repaint: ignore });
  draw();
  return seen.size;
}

const rows = (): number => listRows(viewOf(store.state.view), store.state).rows.length;
const selected = (): string | undefined => store.state.lists[store.state.view].selected;

describe.each<[ViewId, string, number, string]>([
  ["sandboxes", "1", SANDBOXES, "ci-3/s999"],
  ["failures", "2", CAPTURES, "ci-3/fail-4999"],
])("%s", (view, tab, count, last) => {
  test("a key that moves looks at no more things than the window has lines", () => {
    type(tab);
    expect([store.state.view, rows()]).toEqual([view, count]);
    const height = layOutWindow(store.state).list;
    const moves = [...Array<string>(2 * height).fill("j"), "pagedown", "pagedown", "G", "k", "pageup", "g"];
    for (const key of moves) expect(type(key), key).toBeLessThanOrEqual(size.rows);
    type("G");
    expect(selected()).toBe(last);
    expect(draw().join("\n")).toContain("▌");
  });

  test("a letter of the filter looks at what it leaves", () => {
    type(tab);
    type("/");
    for (const key of ["0", "9", "9", "7"]) {
      const lookedAt = type(key);
      expect(lookedAt, key).toBeLessThanOrEqual(rows() + size.rows);
    }
    expect(rows()).toBeGreaterThan(0);
    expect(rows()).toBeLessThan(count / 100);
    expect(draw().join("\n")).toMatch(/▌ (job|fail)-0997/);
    type("escape");
    expect(rows()).toBe(count);
  });

  test("marking all, sorting and grouping keep the frame", () => {
    type(tab);
    for (const key of ["*", "S", "S", "B", "B", "w", "w", "T", "T", "tab", "tab"]) type(key);
    expect(rows()).toBe(count);
  });
});

test("a sandbox that changes leaves the failures and the other rows as they are", () => {
  const order = listRows(viewOf("sandboxes"), store.state).rows;
  seen.clear();
  store.setHost("ci-3", (host) => {
    const paused = watched(
      sandbox({ id: "s5", name: "job-0005", createdAt: before(5), state: "paused", execs: [] }),
    );
    return { ...host, sandboxes: new Map(host.sandboxes).set("s5", paused) };
  });
  expect(draw().join("\n")).toMatch(/job-0005 +paused/);
  expect([...seen].filter((id) => id.startsWith("fail-"))).toEqual([]);
  const after = listRows(viewOf("sandboxes"), store.state).rows;
  expect(after.filter((row, index) => row !== order[index]).map(({ key }) => key)).toEqual(["ci-3/s5"]);
});

test("the window moves by half its height, not by a row for each key: each time it writes the whole list", () => {
  const height = layOutWindow(store.state).list;
  const tops = new Set<number>();
  for (let moves = 0; moves < 3 * height; moves++) {
    type("j");
    tops.add(store.state.lists.sandboxes.top);
  }
  expect(tops.size).toBeLessThanOrEqual(6);
});
