/**
 * QEMU's command lines, pure: options in, argv out. What describes the guest's hardware is the same for boot and thaw, ids and
 * addresses included, since QEMU restores device state by them and notices almost no difference.
 */
import { createHash } from "node:crypto";
import type { MachineNeeds, Resources } from "../runner.ts";

/** Translated code of an emulated machine, at most. */
export const TRANSLATION_MIB = 256;
/** Names of the sockets in a machine's runtime folder. */
export const QMP_SOCKET = "qmp.sock";
export const AGENT_SOCKET = "agent.sock";
/** QEMU keeps the last bytes of the serial console here, in memory, so that a flood fills nothing. A power of two. */
export const CONSOLE_DEVICE = "con";
export const CONSOLE_BYTES = 65_536;
/** Node of the disk's writable layer, and the device on top of it. */
export const DISK_NODE = "d0";
/** Node of a snapshot's own disk, beneath all layers. */
export const BASE_NODE = "base";

/** What a guest sees of its computer. */
export interface MachineShape {
  /** Versioned, e.g. `pc-q35-7.2`: what lets a snapshot move between QEMU versions. */
  machine: string;
  accelerator: MachineNeeds["accelerator"];
  /** A named model, never `host` or `max`. */
  cpu: string;
  resources: Resources;
}

interface CommonOptions extends MachineShape {
  id: string;
  /** Folder in which QEMU makes its sockets. Absent: it inherits them, listening, as descriptors 3 and 4. */
  runtimeDir?: string;
}

/** Number, in QEMU, of the first descriptor that it inherits beside its sockets. */
export const INHERITED_FD = 5;

export interface BootOptions extends CommonOptions {
  /** File that holds the guest's memory from the start; absent: anonymous memory. */
  memoryFile?: string;
  /** Absent: a machine without a root, to prove that guests run at all. */
  disk?: {
    path: string;
    format: "raw" | "qcow2";
    /** The block device that the guest mounts as its root, such as `/dev/vda1`. */
    device: string;
  };
  kernel: { vmlinuz: string; initrd: string };
  /** See `kernelCommandLine`. */
  mitigations?: boolean | undefined;
}

export interface ThawOptions extends CommonOptions {
  memory: {
    path: string;
    /** QEMU can map a file privately that it may only read (8.2 and later). */
    openReadOnly: boolean;
  };
  /** The snapshot's disk. */
  baseDisk: string;
  /** Read-only layers above it, lowest first; none names a backing file. */
  layers?: readonly string[];
  /** The writable overlay; names no backing file. */
  overlay: string;
}

export interface ReceiveOptions extends CommonOptions {
  /** File that becomes the new snapshot's memory. */
  memoryFile: string;
  /** Virtual size of the machine's disk. */
  diskBytes: number;
}

/** `-name` argument, for whoever lists processes. */
export function processName(id: string): string {
  return `thaw-${id},process=thaw-vm`;
}

/** argv after the program's name for a cold boot. */
export function bootArgv(options: BootOptions): string[] {
  const size = `${options.resources.memoryMib}M`;
  const memory =
    options.memoryFile === undefined
      ? `memory-backend-ram,id=m0,size=${size}`
      : `memory-backend-file,id=m0,size=${size},mem-path=${value(options.memoryFile)},share=on`;
  const { disk } = options;
  const blocks =
    disk === undefined
      ? ["-blockdev", `driver=null-co,node-name=${DISK_NODE},size=1048576,read-zeroes=on`]
      : [
          "-blockdev",
          writableFile(disk.path),
          "-blockdev",
          `driver=${disk.format},file=f0,node-name=${DISK_NODE},discard=unmap`,
        ];
  return [
    ...common(options, memory),
    ...blocks,
    ...hardware(),
    ...["-kernel", options.kernel.vmlinuz, "-initrd", options.kernel.initrd],
    ...["-append", kernelCommandLine(options, disk?.device ?? null)],
  ];
}

/** argv after the program's name for a restore; the device state is loaded over QMP. */
export function thawArgv(options: ThawOptions): string[] {
  const readOnly = options.memory.openReadOnly ? ",readonly=on,rom=off" : "";
  const size = `${options.resources.memoryMib}M`;
  const layers = options.layers ?? [];
  const memory = `memory-backend-file,id=m0,size=${size},mem-path=${value(options.memory.path)},share=off${readOnly}`;
  return [
    ...common(options, memory),
    ...["-blockdev", `driver=file,filename=${value(options.baseDisk)},node-name=fb,read-only=on`],
    ...["-blockdev", `driver=qcow2,file=fb,node-name=${BASE_NODE},read-only=on`],
    ...layers.flatMap((path, index) => [
      ...["-blockdev", `driver=file,filename=${value(path)},node-name=fl${index},read-only=on`],
      "-blockdev",
      `driver=qcow2,file=fl${index},node-name=l${index},read-only=on,backing=${index === 0 ? BASE_NODE : `l${index - 1}`}`,
    ]),
    ...["-blockdev", writableFile(options.overlay)],
    ...[
      "-blockdev",
      `driver=qcow2,file=f0,node-name=${DISK_NODE},backing=${layers.length === 0 ? BASE_NODE : `l${layers.length - 1}`},discard=unmap`,
    ],
    ...hardware(),
    ...["-incoming", "defer"],
  ];
}

/** argv after the program's name for the second process of a live freeze: takes in memory and devices, and never runs. */
export function receiveArgv(options: ReceiveOptions): string[] {
  const { memoryMib } = options.resources;
  const memory = `memory-backend-file,id=m0,size=${memoryMib}M,mem-path=${value(options.memoryFile)},share=on`;
  return [
    ...common(options, memory),
    ...["-blockdev", `driver=null-co,node-name=${DISK_NODE},size=${options.diskBytes},read-zeroes=on`],
    ...hardware(),
    ...["-S", "-incoming", "defer"],
  ];
}

/** Description, for `blockdev-add`, of the overlay that the `index`th cut of a machine's disk goes on with. */
export function overlayNode(index: number, path: string): { [key: string]: unknown } {
  return {
    driver: "qcow2",
    "node-name": `d${index}`,
    discard: "unmap",
    backing: null,
    file: {
      driver: "file",
      filename: path,
      "node-name": `f${index}`,
      discard: "unmap",
      cache: { "no-flush": true },
    },
  };
}

/** Digest of the hardware both command lines describe; recorded in a snapshot and compared before a thaw. */
export function devicesDigest(): string {
  return createHash("sha256")
    .update(JSON.stringify([MACHINE_OPTIONS, hardware()]))
    .digest("hex")
    .slice(0, 16);
}

/** Guests are told to stop their clocks from ticking when idle; `init_on_free` keeps memory files small. */
export function kernelCommandLine(
  { accelerator, mitigations = true }: Pick<BootOptions, "accelerator" | "mitigations">,
  root: string | null,
): string {
  const always = [
    "console=ttyS0",
    "quiet",
    "loglevel=3",
    "panic=-1",
    "init_on_free=1",
    "random.trust_cpu=on",
    // Others have no policy here and are asked at every open and exec; nobody reads the pressure in a guest.
    "lsm=landlock,yama",
    "psi=0",
  ];
  // An emulated CPU has none of the faults the mitigations are for, and pays for each of them. It translates a program once more at each address.
  const emulated = accelerator === "tcg" ? ["no_timer_check", "tsc=reliable", "norandmaps"] : [];
  const unprotected = accelerator === "tcg" || !mitigations ? ["mitigations=off"] : [];
  return [...always, ...unprotected, ...emulated, `thaw.root=${root ?? "none"}`].join(" ");
}

/** QEMU's filter of its own system calls. */
export const SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

const MACHINE_OPTIONS = "hpet=off,usb=off,sata=off,smbus=off,memory-backend=m0";

function common(options: CommonOptions, memory: string): string[] {
  const { resources } = options;
  const socket = (name: string, fd: number): string =>
    `${options.runtimeDir === undefined ? `fd=${fd}` : `path=${value(`${options.runtimeDir}/${name}`)}`},server=on,wait=off`;
  return [
    ...["-name", processName(options.id)],
    ...["-machine", `${options.machine},${MACHINE_OPTIONS}`],
    ...["-accel", options.accelerator === "tcg" ? `tcg,thread=multi,tb-size=${TRANSLATION_MIB}` : "kvm"],
    ...["-cpu", options.cpu],
    ...["-m", `${resources.memoryMib}M`],
    ...["-smp", `${resources.cpus},sockets=1,cores=${resources.cpus},threads=1`],
    ...["-object", memory],
    ...["-nodefaults", "-no-user-config", "-display", "none"],
    // Ends are held in a paused machine so that a daemon that was away can still learn of them.
    ...["-action", "reboot=shutdown,shutdown=pause,panic=pause"],
    ...["-sandbox", SANDBOX],
    ...["-chardev", `socket,id=qmp,${socket(QMP_SOCKET, 3)}`, "-mon", "chardev=qmp,mode=control"],
    ...["-chardev", `socket,id=agent,${socket(AGENT_SOCKET, 4)}`],
    ...["-chardev", `ringbuf,id=${CONSOLE_DEVICE},size=${CONSOLE_BYTES}`],
  ];
}

/** Devices that a QEMU must have. */
export function deviceNames(): string[] {
  return hardware()
    .filter((word) => word !== "-device")
    .map((word) => word.split(",")[0] ?? "");
}

/** Everything on the guest's buses, at fixed addresses. */
function hardware(): string[] {
  return [
    ...["-device", "isa-serial,id=serial0,chardev=con"],
    ...["-device", "pvpanic-pci,id=panic0,bus=pcie.0,addr=0x2"],
    ...["-device", "virtio-serial-pci,id=serial1,bus=pcie.0,addr=0x3,max_ports=2"],
    ...["-device", "virtserialport,id=port0,bus=serial1.0,nr=1,chardev=agent,name=agent"],
    ...["-device", `virtio-blk-pci,id=disk0,bus=pcie.0,addr=0x4,drive=${DISK_NODE}`],
  ];
}

/** Nothing of a machine outlives a crash of its host but what was frozen, and freezing syncs: the guest's flushes are not passed on. */
function writableFile(path: string): string {
  return `driver=file,filename=${value(path)},node-name=f0,discard=unmap,cache.no-flush=on`;
}

/** QEMU's option syntax writes a comma within a value as two. */
function value(text: string): string {
  return text.replaceAll(",", ",,");
}
