import { Box, Text, useIsScreenReaderEnabled } from "ink";
import { memo, useSyncExternalStore } from "react";
import type { State } from "../state/state.ts";
import type { Store } from "../state/store.ts";
import { formatBottom, formatFooter } from "./bottom.ts";
import { isLargeEnough, LEAST, layOutWindow } from "./layout.ts";
import { formatList } from "./list.ts";
import { formatOverlay } from "./overlay.ts";
import { formatPane } from "./pane.ts";
import { formatTabs } from "./tabs.ts";
import { paint, wrap } from "./text.ts";

/** Ink looks at each character of a frame, also at spaces that nobody sees. */
function joinLines(lines: readonly string[]): string {
  return lines.map((line) => line.trimEnd()).join("\n");
}

/** Lines that are as wide as the window already: Ink has nothing to measure and to break. */
const Lines = memo(function Lines({ text, height }: { text: string; height: number }) {
  const isReadAloud = useIsScreenReaderEnabled();
  const shown = isReadAloud ? text.replaceAll(/[ ─]+$/gm, "") : text;
  return height === 0 ? null : (
    <Box height={height} flexShrink={0}>
      <Text wrap="truncate-end">{shown}</Text>
    </Box>
  );
});

function Body({ state }: { state: State }) {
  const { list, pane, bottom } = layOutWindow(state);
  if (state.overlay !== undefined) {
    const height = state.size.rows - 2 - bottom;
    return <Lines text={joinLines(formatOverlay(state, height))} height={height} />;
  }
  return (
    <>
      <Lines text={joinLines(formatList(state, list))} height={list + 1} />
      {state.pane.isOpen && <Lines text={joinLines(formatPane(state, pane))} height={pane + 1} />}
    </>
  );
}

/**
 * All of the window. Never higher than the terminal, or it would scroll away. Lines are cut to its width when they are painted: to have Ink clip them
 * too would double what a frame costs.
 */
export function Frame({ state }: { state: State }) {
  const { bottom } = layOutWindow(state);
  if (!isLargeEnough(state.size)) {
    const { cols, rows } = state.size;
    const said = `too small: ${cols} × ${rows}; the dashboard needs ${LEAST.cols} × ${LEAST.rows}. q quits`;
    const lines = wrap(said, cols).slice(0, rows);
    return (
      <Lines text={lines.map((line) => paint([{ text: line }], cols)).join("\n")} height={lines.length} />
    );
  }
  return (
    <Box flexDirection="column" width={state.size.cols} height={state.size.rows} overflowY="hidden">
      <Lines text={formatTabs(state)} height={1} />
      <Body state={state} />
      <Lines text={joinLines(formatBottom(state, bottom))} height={bottom} />
      <Lines text={formatFooter(state)} height={1} />
    </Box>
  );
}

export function Dashboard({ store }: { store: Store }) {
  const state = useSyncExternalStore(store.subscribe, () => store.state);
  return <Frame state={state} />;
}
