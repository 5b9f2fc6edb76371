/** Notices that tasks of the host stand still for want of memory: by a trigger of the kernel's (PSI), or by its averages where that is refused. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";

const PRESSURE_FILE = "/proc/pressure/memory";
/** Of a window of 2 s. The kernel lets a process without privileges have windows of whole multiples of 2 s only. */
const TRIGGER_US = { stall: 150_000, window: 2_000_000 };
const COARSE_LOOK_MS = 5_000;
/** The same share, in percent. */
const COARSE_SHARE = (100 * TRIGGER_US.stall) / TRIGGER_US.window;

/** Calls `onStall` until it is called off. Where the kernel does not tell of stalls it never does. */
export function watchStalls(pressurePath: string, onStall: () => void): () => void {
  const { stall, window } = TRIGGER_US;
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  const child = spawn(pressurePath, [PRESSURE_FILE, String(stall), String(window)], {
    stdio: ["pipe", "pipe", "ignore"],
    env: {},
    cwd: "/",
  });
  child.unref();
  child.stdin.on("error", () => {});
  child.stdout.on("data", (chunk: Buffer) => {
    if (chunk.includes("pressure")) onStall();
  });
  const fallBack = (): void => {
    if (isOver || timer !== undefined) return;
    timer = setInterval(() => {
      if (isStalling()) onStall();
    }, COARSE_LOOK_MS);
    timer.unref();
  };
  child.once("error", fallBack);
  child.once("exit", fallBack);
  return () => {
    isOver = true;
    clearInterval(timer);
    // It ends with its stdin.
    child.stdin.destroy();
  };
}

function isStalling(): boolean {
  try {
    const share = /^some avg10=(\d+\.\d+)/m.exec(readFileSync(PRESSURE_FILE, "utf8"))?.[1];
    return Number(share ?? 0) > COARSE_SHARE;
  } catch {
    return false;
  }
}
