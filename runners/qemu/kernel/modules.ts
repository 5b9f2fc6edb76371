/** Which kernel modules a guest gets, what they say about themselves, and the order to load them in. */

/** What the guest's devices need: disk and agent port. Their dependencies are found in the modules themselves. */
export const WANTED_MODULES = ["virtio_pci", "virtio_blk", "virtio_console"] as const;

/** Tells QEMU of a panic. Without it (Linux before 5.13), a machine whose kernel panics ends as one that rebooted. */
const PANIC_MODULES = ["pvpanic_pci"] as const;

/**
 * What the way out of the guest needs (redirecting and rejecting, and finding whose a connection is). A kernel without them boots all the
 * same: its agent then says that there is no network.
 */
const NETWORK_MODULES = [
  "nft_chain_nat",
  "nft_redir",
  "nft_fib_ipv4",
  "nft_reject_ipv4",
  "tcp_diag",
] as const;

/** What the agent loads at boot, where the kernel has it. */
export const BOOT_MODULES = [...WANTED_MODULES, ...PANIC_MODULES, ...NETWORK_MODULES];

/**
 * What the guest can load when it is needed: where these modules lie in a kernel's package, as their paths begin. Networks and packet filters,
 * file systems and block devices that need no hardware.
 */
export const LOADABLE_MODULES = [
  ...[
    "net/802/",
    "net/8021q/",
    "net/bridge/",
    "net/ipv4/",
    "net/ipv6/",
    "net/llc/",
    "net/unix/",
    "net/xfrm/",
  ],
  ...["nf", "x", "ipset/"].map((name) => `net/netfilter/${name}`),
  ...["act_mirred.", "cls_bpf.", "cls_u32.", "sch_htb.", "sch_ingress.", "sch_netem.", "sch_tbf."].map(
    (name) => `net/sched/${name}`,
  ),
  ...[
    "dummy.",
    "ifb.",
    "ipvlan/",
    "macvlan.",
    "macvtap.",
    "tap.",
    "tun.",
    "veth.",
    "vrf.",
    "vxlan",
    "wireguard/",
  ].map((name) => `drivers/net/${name}`),
  ...[
    "drivers/block/loop.",
    "drivers/block/nbd.",
    "drivers/block/zram/",
    "drivers/md/dm-crypt.",
    "drivers/md/dm-verity.",
  ],
  ...["fat", "fuse", "isofs", "overlayfs", "squashfs"].map((name) => `fs/${name}/`),
  ...["nls_ascii.", "nls_cp437.", "nls_iso8859-1.", "nls_utf8."].map((name) => `fs/nls/${name}`),
] as const;

/** The values that a module's `.modinfo` has under `key`. */
export function moduleInfo(module: Buffer, key: "depends" | "alias" | "softdep"): string[] {
  const mark = `\0${key}=`;
  const values: string[] = [];
  for (let at = module.indexOf(mark, 0, "latin1"); at >= 0; at = module.indexOf(mark, at + 1, "latin1")) {
    const from = at + mark.length;
    values.push(module.toString("latin1", from, module.indexOf(0, from)));
  }
  return values;
}

/** The names a module says it depends on. */
export function moduleDependencies(module: Buffer): string[] {
  const [text = ""] = moduleInfo(module, "depends");
  return text === "" ? [] : text.split(",").map(moduleName);
}

/** How a module's file name ends: distributions compress modules or don't. */
export const MODULE_SUFFIX = /\.ko(\.(xz|zst|gz))?$/;

/** The kernel treats `-` and `_` in a module's name alike. */
export function moduleName(fileName: string): string {
  return fileName.replace(MODULE_SUFFIX, "").replaceAll("-", "_");
}

/**
 * `wanted` with all they depend on, dependencies first. Names `available` does not know are taken to be built into the kernel.
 * @param available module name → names it depends on
 */
export function loadOrder(
  wanted: readonly string[],
  available: ReadonlyMap<string, readonly string[]>,
): string[] {
  const order: string[] = [];
  const seen = new Set<string>();
  const visit = (name: string): void => {
    const dependencies = available.get(name);
    if (dependencies === undefined || seen.has(name)) return;
    seen.add(name);
    for (const dependency of dependencies) visit(dependency);
    order.push(name);
  };
  for (const name of wanted) visit(name);
  return order;
}
