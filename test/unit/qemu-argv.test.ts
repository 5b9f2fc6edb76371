import { expect, test } from "vitest";
import {
  bootArgv,
  devicesDigest,
  kernelCommandLine,
  receiveArgv,
  thawArgv,
} from "../../runners/qemu/argv.ts";

const shape = {
  id: "box-1",
  machine: "pc-q35-7.2",
  accelerator: "tcg",
  cpu: "Nehalem-v1",
  resources: { cpus: 2, memoryMib: 256, diskMib: 2048 },
} as const;
const boot = {
  ...shape,
  disk: { path: "/machine/disk", format: "qcow2", device: "/dev/vda1" },
  kernel: { vmlinuz: "/machine/vmlinuz", initrd: "/machine/initrd" },
} as const;
const thaw = {
  ...shape,
  memory: { path: "/proc/self/fd/5", openReadOnly: false },
  baseDisk: "/machine/base.qcow2",
  overlay: "/machine/disk/overlay.qcow2",
};

test("command line of a boot that is to be frozen", () => {
  expect(bootArgv({ ...boot, memoryFile: "/machine/memory" }).join("\n")).toMatchInlineSnapshot(`
    "-name
    thaw-box-1,process=thaw-vm
    -machine
    pc-q35-7.2,hpet=off,usb=off,sata=off,smbus=off,memory-backend=m0
    -accel
    tcg,thread=multi,tb-size=256
    -cpu
    Nehalem-v1
    -m
    256M
    -smp
    2,sockets=1,cores=2,threads=1
    -object
    memory-backend-file,id=m0,size=256M,mem-path=/machine/memory,share=on
    -nodefaults
    -no-user-config
    -display
    none
    -action
    reboot=shutdown,shutdown=pause,panic=pause
    -sandbox
    on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
    -chardev
    socket,id=qmp,fd=3,server=on,wait=off
    -mon
    chardev=qmp,mode=control
    -chardev
    socket,id=agent,fd=4,server=on,wait=off
    -chardev
    ringbuf,id=con,size=65536
    -blockdev
    driver=file,filename=/machine/disk,node-name=f0,discard=unmap,cache.no-flush=on
    -blockdev
    driver=qcow2,file=f0,node-name=d0,discard=unmap
    -device
    isa-serial,id=serial0,chardev=con
    -device
    pvpanic-pci,id=panic0,bus=pcie.0,addr=0x2
    -device
    virtio-serial-pci,id=serial1,bus=pcie.0,addr=0x3,max_ports=2
    -device
    virtserialport,id=port0,bus=serial1.0,nr=1,chardev=agent,name=agent
    -device
    virtio-blk-pci,id=disk0,bus=pcie.0,addr=0x4,drive=d0
    -kernel
    /machine/vmlinuz
    -initrd
    /machine/initrd
    -append
    console=ttyS0 quiet loglevel=3 panic=-1 init_on_free=1 random.trust_cpu=on lsm=landlock,yama psi=0 mitigations=off no_timer_check tsc=reliable norandmaps thaw.root=/dev/vda1"
  `);
});

test("command line of a thaw", () => {
  expect(thawArgv(thaw).join("\n")).toMatchInlineSnapshot(`
    "-name
    thaw-box-1,process=thaw-vm
    -machine
    pc-q35-7.2,hpet=off,usb=off,sata=off,smbus=off,memory-backend=m0
    -accel
    tcg,thread=multi,tb-size=256
    -cpu
    Nehalem-v1
    -m
    256M
    -smp
    2,sockets=1,cores=2,threads=1
    -object
    memory-backend-file,id=m0,size=256M,mem-path=/proc/self/fd/5,share=off
    -nodefaults
    -no-user-config
    -display
    none
    -action
    reboot=shutdown,shutdown=pause,panic=pause
    -sandbox
    on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
    -chardev
    socket,id=qmp,fd=3,server=on,wait=off
    -mon
    chardev=qmp,mode=control
    -chardev
    socket,id=agent,fd=4,server=on,wait=off
    -chardev
    ringbuf,id=con,size=65536
    -blockdev
    driver=file,filename=/machine/base.qcow2,node-name=fb,read-only=on
    -blockdev
    driver=qcow2,file=fb,node-name=base,read-only=on
    -blockdev
    driver=file,filename=/machine/disk/overlay.qcow2,node-name=f0,discard=unmap,cache.no-flush=on
    -blockdev
    driver=qcow2,file=f0,node-name=d0,backing=base,discard=unmap
    -device
    isa-serial,id=serial0,chardev=con
    -device
    pvpanic-pci,id=panic0,bus=pcie.0,addr=0x2
    -device
    virtio-serial-pci,id=serial1,bus=pcie.0,addr=0x3,max_ports=2
    -device
    virtserialport,id=port0,bus=serial1.0,nr=1,chardev=agent,name=agent
    -device
    virtio-blk-pci,id=disk0,bus=pcie.0,addr=0x4,drive=d0
    -incoming
    defer"
  `);
});

test("boot and thaw describe the same devices, in the same order", () => {
  const devices = (argv: string[]): string[] => argv.filter((_, index) => argv[index - 1] === "-device");
  expect(devices(thawArgv(thaw))).toEqual(devices(bootArgv(boot)));
  expect(devices(thawArgv(thaw))).toHaveLength(5);
  expect(devicesDigest()).toMatch(/^[0-9a-f]{16}$/);
});

test("no network card, no display, no monitor, no other default device", () => {
  for (const argv of [bootArgv(boot), thawArgv(thaw)]) {
    expect(argv).toContain("-nodefaults");
    expect(argv.join(" ")).not.toMatch(/netdev|-net |-nic|-monitor|-vnc|balloon|virtio-mem/);
  }
});

test("memory is anonymous when the machine is not to be frozen", () => {
  expect(bootArgv(boot)).toContain("memory-backend-ram,id=m0,size=256M");
});

test("a QEMU that can maps the snapshot's memory read-only", () => {
  const argv = thawArgv({ ...thaw, memory: { path: "/machine/memory", openReadOnly: true } });
  expect(argv).toContain(
    "memory-backend-file,id=m0,size=256M,mem-path=/machine/memory,share=off,readonly=on,rom=off",
  );
});

test("commas in paths can't add options", () => {
  const argv = bootArgv({
    ...boot,
    disk: { path: "/a,readonly=on", format: "raw", device: "/dev/vda" },
    runtimeDir: "/r,x",
  });
  expect(argv).toContain("driver=file,filename=/a,,readonly=on,node-name=f0,discard=unmap,cache.no-flush=on");
  expect(argv).toContain("socket,id=qmp,path=/r,,x/qmp.sock,server=on,wait=off");
});

test("mitigations are left out only where there is no real CPU to protect", () => {
  expect(kernelCommandLine({ accelerator: "tcg" }, "/dev/vda")).toContain("mitigations=off");
  expect(kernelCommandLine({ accelerator: "kvm" }, "/dev/vda")).not.toMatch(/mitigations|norandmaps/);
  expect(kernelCommandLine({ accelerator: "kvm", mitigations: false }, "/dev/vda")).toContain(
    "mitigations=off",
  );
  expect(kernelCommandLine({ accelerator: "kvm" }, null)).toMatch(/ thaw\.root=none$/);
});

test("layers lie above the snapshot's disk, lowest first, and the overlay above them", () => {
  const argv = thawArgv({ ...thaw, layers: ["/machine/layer-1.qcow2", "/machine/layer-2.qcow2"] });
  expect(argv.filter((word) => word.startsWith("driver="))).toEqual([
    "driver=file,filename=/machine/base.qcow2,node-name=fb,read-only=on",
    "driver=qcow2,file=fb,node-name=base,read-only=on",
    "driver=file,filename=/machine/layer-1.qcow2,node-name=fl0,read-only=on",
    "driver=qcow2,file=fl0,node-name=l0,read-only=on,backing=base",
    "driver=file,filename=/machine/layer-2.qcow2,node-name=fl1,read-only=on",
    "driver=qcow2,file=fl1,node-name=l1,read-only=on,backing=l0",
    "driver=file,filename=/machine/disk/overlay.qcow2,node-name=f0,discard=unmap,cache.no-flush=on",
    "driver=qcow2,file=f0,node-name=d0,backing=l1,discard=unmap",
  ]);
});

test("the second process of a live freeze has the same hardware, a shared memory file, no disk, and never runs", () => {
  const { memory: _memory, baseDisk: _baseDisk, overlay: _overlay, ...common } = thaw;
  const argv = receiveArgv({ ...common, memoryFile: "/machine/memory", diskBytes: 2 ** 31 });
  const hardware = (words: string[]) => words.filter((_, index) => words[index - 1] === "-device");
  expect(hardware(argv)).toEqual(hardware(thawArgv(thaw)));
  expect(argv).toContain("memory-backend-file,id=m0,size=256M,mem-path=/machine/memory,share=on");
  expect(argv).toContain("driver=null-co,node-name=d0,size=2147483648,read-zeroes=on");
  expect(argv.slice(-3)).toEqual(["-S", "-incoming", "defer"]);
});
