import { stat } from "node:fs/promises";
import { findPolicy, type StorePolicy } from "./policy.ts";
import { parseStoreReference } from "./reference.ts";
import type { Store } from "./store.ts";

export interface OpenStore extends AsyncDisposable {
  store: Store;
  tag: string | undefined;
  policy: StorePolicy;
}

/**
 * Opens the store that a reference names. @param options plainHttp: speak HTTP without TLS. write: make a folder that is not there.
 * @throws ThawError `usage`, `not-found`, `store-corrupt`.
 */
export async function openStore(
  reference: string,
  options: { plainHttp: boolean; write: boolean },
): Promise<OpenStore> {
  const parsed = parseStoreReference(reference);
  const name = parsed.kind === "oci" ? `oci:${parsed.registry}/${parsed.repository}` : `dir:${parsed.path}`;
  const policy = await findPolicy(name);
  const store = await open(parsed, { ...options, plainHttp: options.plainHttp || policy.plainHttp });
  return { store, tag: parsed.tag, policy, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
}

async function open(
  parsed: ReturnType<typeof parseStoreReference>,
  { plainHttp, write }: { plainHttp: boolean; write: boolean },
): Promise<Store> {
  if (parsed.kind === "oci") {
    const { OciStore } = await import("./registry/store.ts");
    return new OciStore({ ...parsed, plainHttp });
  }
  if ((await stat(parsed.path).catch(() => null))?.isFile() === true) {
    const { ArchiveReader } = await import("./archive.ts");
    return ArchiveReader.open(parsed.path);
  }
  const { LayoutStore } = await import("./layout.ts");
  return LayoutStore.open(parsed.path, { make: write });
}
