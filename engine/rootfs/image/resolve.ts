/** From a reference to one image for this machine: indexes, however nested, manifest and configuration, all of them somebody else's. */
import { z } from "zod";
import { sha256 } from "../../../durable/digest.ts";
import { EngineError } from "../../errors.ts";
import { invalidImage } from "./invalid.ts";
import type { ImageReference } from "./reference.ts";
import { readConfig, readManifest } from "./skopeo.ts";

const MAX_INDEXES = 5;
const MAX_LAYERS = 512;
const MAX_ENVIRONMENT = 64 << 10;

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const descriptor = z.object({ digest, size: z.int().min(0), mediaType: z.string().optional() });
const index = z.object({
  manifests: z
    .array(
      descriptor.extend({
        platform: z
          .object({ architecture: z.string(), os: z.string(), variant: z.string().optional() })
          .optional(),
      }),
    )
    .max(1000),
});
const manifest = z.object({ config: descriptor, layers: z.array(descriptor).max(MAX_LAYERS) });
const config = z.object({
  architecture: z.string(),
  os: z.string().default("linux"),
  config: z
    .looseObject({
      Env: z.array(z.string()).nullish(),
      User: z.string().max(256).nullish(),
      WorkingDir: z.string().max(4096).nullish(),
    })
    .nullish(),
});

/** Settings that a machine has no use for: thaw runs what its user names, and stops nothing by signals of the image's choice. */
const IGNORED = ["Entrypoint", "Cmd", "Volumes", "ExposedPorts", "StopSignal", "Healthcheck"] as const;

export interface ResolvedImage {
  reference: ImageReference;
  /** Of the manifest for linux/amd64. */
  digest: string;
  /** Lowest first. */
  layers: { digest: string; size: number }[];
}

export interface ImageConfig {
  defaults: { env: Record<string, string>; user: string; workdir: string };
  /** Names of settings that are not used. */
  ignored: string[];
}

/** Asks the registry. Rejects as skopeo does, with `build-failed` for what is not an image, and `unsupported` for one of other machines. */
export async function resolveImage(reference: ImageReference, signal: AbortSignal): Promise<ResolvedImage> {
  let wanted = reference;
  for (let indexes = 0; indexes <= MAX_INDEXES; indexes++) {
    const text = await readManifest(wanted, signal);
    const found = `sha256:${sha256(text)}`;
    if (wanted.digest !== undefined && found !== wanted.digest)
      throw new EngineError(
        "store-corrupt",
        `${reference.text}: the registry sent a manifest that is not ${wanted.digest}`,
      );
    const value = parsed(text);
    const many = index.safeParse(value);
    if (!many.success) {
      const one = manifest.safeParse(value);
      if (!one.success) throw notAnImage(reference, value);
      return { reference, digest: found, layers: one.data.layers };
    }
    wanted = { ...reference, digest: pick(reference, many.data.manifests) };
  }
  throw invalidImage(`more than ${MAX_INDEXES} indexes lie within one another`);
}

/** How the image wants its commands to be run. */
export async function resolveConfig(
  { reference, digest }: ResolvedImage,
  signal: AbortSignal,
): Promise<ImageConfig> {
  const text = await readConfig({ ...reference, digest }, signal);
  const value = config.safeParse(parsed(text));
  if (!value.success) throw notAnImage(reference, {});
  const { architecture, os } = value.data;
  if (architecture !== "amd64" || os !== "linux") throw otherMachines(reference, [`${os}/${architecture}`]);
  const settings = value.data.config ?? {};
  const env: Record<string, string> = {};
  for (const pair of settings.Env ?? []) {
    const [, name, content] = /^([^=\0]+)=([^\0]*)$/s.exec(pair) ?? [];
    if (name !== undefined && content !== undefined) env[name] = content;
  }
  if (JSON.stringify(env).length > MAX_ENVIRONMENT)
    throw invalidImage(`its environment has more than ${MAX_ENVIRONMENT} characters`);
  const workdir = `/${(settings.WorkingDir ?? "")
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/")}`;
  if (/\0|(^|\/)\.\.(\/|$)/.test(workdir)) throw invalidImage(`its WorkingDir is ${JSON.stringify(workdir)}`);
  const isSet = (value: unknown): boolean =>
    value !== null &&
    value !== undefined &&
    value !== "" &&
    !(typeof value === "object" && Object.keys(value).length === 0);
  return {
    defaults: { env, user: settings.User || "root", workdir },
    ignored: IGNORED.filter((name) => isSet((settings as Record<string, unknown>)[name])),
  };
}

type Choice = z.infer<typeof index>["manifests"][number];

/** The manifest of this machine's kind; an entry that does not say what it is for may be an index of such. */
function pick(reference: ImageReference, manifests: readonly Choice[]): string {
  const own = manifests.filter(
    ({ platform }) => platform?.os === "linux" && platform.architecture === "amd64",
  );
  // A variant names processors that not every host has.
  const chosen = own.find(({ platform }) => platform?.variant === undefined) ?? own[0];
  const unsaid = manifests.filter(({ platform }) => platform === undefined);
  const entry = chosen ?? (unsaid.length === 1 || own.length === 0 ? unsaid[0] : undefined);
  if (entry !== undefined) return entry.digest;
  throw otherMachines(
    reference,
    manifests.flatMap(({ platform }) =>
      platform === undefined || platform.os === "unknown" ? [] : [`${platform.os}/${platform.architecture}`],
    ),
  );
}

function otherMachines({ text }: ImageReference, platforms: readonly string[]): EngineError {
  const has = [...new Set(platforms)].slice(0, 12).map((name) => name.slice(0, 40));
  return new EngineError("unsupported", `${text} has no image for linux/amd64`, {
    hint: has.length === 0 ? "it has none" : `it has ${has.join(", ")}`,
  });
}

function notAnImage({ text }: ImageReference, value: unknown): EngineError {
  const { artifactType, schemaVersion } = (value ?? {}) as {
    artifactType?: unknown;
    schemaVersion?: unknown;
  };
  const kind =
    typeof artifactType === "string"
      ? `an artifact, ${JSON.stringify(artifactType.slice(0, 100))}`
      : schemaVersion === 1
        ? "a manifest of docker's first schema, which is no longer supported"
        : "a manifest that can't be read";
  return new EngineError("build-failed", `${text} is not an image: it is ${kind}`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
