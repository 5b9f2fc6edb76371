/** What is done to the host while clients work. */
import { execFileSync } from "node:child_process";
import { readFileSync, renameSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Thaw } from "../../../client/index.ts";
import { kill, type SuiteHome } from "../suite-home.ts";
import type { World } from "./act.ts";
import type { Fault } from "./plan.ts";

const STALL_MS = 3000;
const FULL_MS = 2000;
const BETWEEN_KILLS_MS = 400;
/** How many clients look for a daemon at once. */
const RACERS = 4;

/** Answers what was hit. */
export async function strike(world: World, client: Thaw, fault: Fault): Promise<string> {
  const { home, told } = world;
  switch (fault.kind) {
    case "kill-daemon": {
      let killed = 0;
      for (let time = 0; time < fault.times; time += 1) {
        if (time > 0) await sleep(BETWEEN_KILLS_MS);
        if (await home.killDaemon()) killed += 1;
      }
      return `${killed} killed`;
    }
    case "race": {
      await home.killDaemon();
      const said = await Promise.all(Array.from({ length: RACERS }, () => home.thaw(["ls", "-q"])));
      return said.map(({ exitCode, stderr }) => `${exitCode}${stderr}`).join(" ");
    }
    case "clock-jump":
      return jumpClock(home, fault.byMs);
    case "full-disk":
      return fillDisk(home, fault.leaveMib);
    case "guest-clock": {
      const id = told.sandboxes.get(fault.on)?.id;
      if (id === undefined) return "not there";
      const script = "date -s 2001-01-01; date -s 2037-01-01";
      const { exitCode } = await client.sandboxes.at(id).exec(["sh", "-c", script], { signal: world.signal });
      return `exit code ${exitCode}`;
    }
    default: {
      const sandbox = told.sandboxes.get(fault.on);
      const name = fault.kind === "kill-keeper" ? "thaw-keeper" : "thaw-vm";
      const hit = home.processes().find((one) => one.sandbox === sandbox?.id && one.name === name);
      if (sandbox === undefined || hit === undefined) return "no machine";
      if (fault.kind === "stall-machine") {
        kill(hit.pid, "SIGSTOP");
        await sleep(STALL_MS);
        kill(hit.pid, "SIGCONT");
        return `${hit.pid} stood still`;
      }
      sandbox.fault = fault.kind;
      kill(hit.pid, "SIGKILL");
      return `${hit.pid} killed`;
    }
  }
}

/**
 * The daemon compares its clocks with their last reading, on disk. Between two daemons that reading is moved, which is to the next one what a
 * jump of the wall clock is: the host's own clock, which others use, stays as it is.
 */
async function jumpClock(home: SuiteHome, byMs: number): Promise<string> {
  await home.killDaemon();
  const path = join(home.path, "clock.json");
  const reading = JSON.parse(readFileSync(path, "utf8")) as { wall: number };
  // Whole at every moment: a client may have started the next daemon.
  writeFileSync(`${path}-moved`, JSON.stringify({ ...reading, wall: reading.wall - byMs }));
  renameSync(`${path}-moved`, path);
  return `by ${byMs / 3_600_000} h`;
}

/** Takes what is free of the disk away for a while. Afterwards it is as large as at first, also when two of these overlap. */
async function fillDisk(home: SuiteHome, leaveMib: number): Promise<string> {
  const { blocks, bfree, bsize } = statfsSync(home.path);
  const resize = (bytes: number): void => {
    execFileSync("mount", ["-o", `remount,size=${Math.ceil(bytes / 1024)}k`, home.path], { stdio: "ignore" });
  };
  try {
    resize((blocks - bfree) * bsize + leaveMib * 2 ** 20);
  } catch {
    // Something was written meanwhile: there is more than that already.
    return "not smaller than what is used";
  }
  await sleep(FULL_MS);
  const left = home.freeMib();
  resize(home.diskBytes);
  return `${left} MiB were left`;
}
