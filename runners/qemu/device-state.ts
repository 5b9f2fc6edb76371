/**
 * The head of a saved device state. A migration's begins with a configuration section: the machine's type and the capabilities that both ends must
 * share. `xen-save-devices-state` writes none. QEMU can be told to do without (`migration.send-configuration=off`), but QEMU 10 ends with a
 * protection fault when it then saves a migration of its own. So the section is put in.
 * Source: `qemu_savevm_state_header`, `vmstate_configuration` and `vmstate_subsection_save` in QEMU's migration/savevm.c and vmstate.c.
 */
import { constants } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { RunnerError } from "../runner.ts";

/** Magic and version. */
const HEADER_BYTES = 8;
const CONFIGURATION = 7;
const SUBSECTION = 5;
/** Device state without RAM is below 1 MB; a QEMU that writes more is not believed. */
const MAX_BYTES = 64 * 1024 * 1024;

/** @param machine versioned type, e.g. `pc-q35-7.2` */
export function withConfiguration(state: Buffer, machine: string): Buffer {
  if (state[HEADER_BYTES] === CONFIGURATION) return state;
  const section = Buffer.concat([
    Buffer.from([CONFIGURATION]),
    uint32(machine.length),
    Buffer.from(machine, "latin1"),
    Buffer.from([SUBSECTION]),
    counted("configuration/capabilities"),
    // The subsection's version, and one capability.
    uint32(1),
    uint32(1),
    counted("x-ignore-shared"),
  ]);
  return Buffer.concat([state.subarray(0, HEADER_BYTES), section, state.subarray(HEADER_BYTES)]);
}

/** The device state at `path`, which may be a link or endless where the machine can write to its folder. Throws `start-failed`. */
export async function readDeviceState(path: string): Promise<Buffer> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const found = await handle.stat();
    if (!found.isFile() || found.size === 0 || found.size > MAX_BYTES)
      throw new RunnerError("start-failed", `QEMU saved ${found.size} bytes of device state`);
    return (await handle.readFile()).subarray(0, MAX_BYTES);
  } finally {
    await handle.close();
  }
}

/**
 * Opens a device state to be loaded. Differences that an earlier version took have no configuration section: a copy that has one is opened then.
 * @param copy path for the copy; it is not there afterwards
 */
export async function openDeviceState(path: string, machine: string, copy: string): Promise<FileHandle> {
  const handle = await open(path, "r");
  const { bytesRead, buffer } = await handle.read(Buffer.alloc(HEADER_BYTES + 1), 0, HEADER_BYTES + 1, 0);
  if (bytesRead <= HEADER_BYTES || buffer[HEADER_BYTES] === CONFIGURATION) return handle;
  await handle.close();
  const state = withConfiguration(await readDeviceState(path), machine);
  const copied = await open(copy, "wx+", 0o600);
  try {
    await copied.writeFile(state);
    return await open(copy, "r");
  } finally {
    await copied.close();
    await rm(copy, { force: true });
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function counted(text: string): Buffer {
  return Buffer.concat([Buffer.from([text.length]), Buffer.from(text, "latin1")]);
}
