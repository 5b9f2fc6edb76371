/** Which kernel modules a guest needs, and the order to load them in. */

/** What the guest's devices need: disk, agent port, and telling QEMU of a panic. Their dependencies are found in the modules themselves. */
export const WANTED_MODULES = ["virtio_pci", "virtio_blk", "virtio_console", "pvpanic_pci"] as const;

/**
 * What the way out of the guest needs (redirecting and rejecting, and finding whose a connection is). A kernel without them boots all the
 * same: its agent then says that there is no network.
 */
export const NETWORK_MODULES = [
  "nft_chain_nat",
  "nft_redir",
  "nft_fib_ipv4",
  "nft_reject_ipv4",
  "tcp_diag",
] as const;

/** What containers inside the guest need for networks of their own; their way out is the guest's. */
export const CONTAINER_MODULES = ["veth", "bridge"] as const;

/** The names a module says it depends on, read from the `depends=` entry of its `.modinfo` section. */
export function moduleDependencies(module: Buffer): string[] {
  const start = module.indexOf("\0depends=", 0, "latin1");
  if (start < 0) return [];
  const from = start + "\0depends=".length;
  const text = module.toString("latin1", from, module.indexOf(0, from));
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
