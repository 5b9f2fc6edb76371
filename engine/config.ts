/** `$THAW_HOME/config.yaml`: what a host's operator decides. Every mistake is told at once. */
import { readFileSync, statSync } from "node:fs";
import { isIP } from "node:net";
import { z } from "zod";
import { runnerName } from "../api/machine.ts";
import { networkLayer } from "../api/network.ts";
import { poolSize } from "../api/pool.ts";
import { duration, size, tag } from "../api/text.ts";
import type { Probe } from "../runners/runner.ts";
import { EngineError } from "./errors.ts";
import { proxyUrl } from "./network/upstream.ts";
import { checkYaml } from "./yaml-file.ts";

const orNever = z.union(
  [z.literal("never").transform(() => null), duration],
  "never, or a length of time such as 10m",
);

/** Of captures; what is absent is not limited. */
const budget = z.strictObject({
  maxCount: z.int().min(1).max(1_000_000).optional(),
  maxBytes: size.optional(),
  maxAge: duration.optional(),
});

/** Only a named model makes a snapshot that another host can thaw. */
const cpuModel = z
  .string()
  .regex(/^\w[\w.-]{0,63}$/, "the name of a CPU model, such as EPYC-Rome")
  .refine((name) => name !== "host" && name !== "max", "a named CPU model, not the host's own");

/** Without a tag: what is pushed has its id. */
const storeName = z
  .string()
  .max(400)
  .regex(/^(oci:[^\s/@]+(\/[^\s/:@]+)+|dir:\/[^:\0]*)$/, "oci:HOST/REPOSITORY or dir:/FOLDER, without a tag");

/** Of machines that are made before anybody asks; with other cpus and memory than their snapshot's. */
const sizedPool = poolSize.omit({ memoryMib: true }).extend({ memory: size.optional() });
const plainPool = poolSize.shape.size.transform((size): z.infer<typeof sizedPool> => ({ size }));

const listenAt = z.strictObject({
  address: z.string().refine(isApiListen, "ADDRESS:PORT, such as 127.0.0.1:7878"),
  /** Files in PEM. */
  tlsCert: z.string().startsWith("/").optional(),
  tlsKey: z.string().startsWith("/").optional(),
  /** What clients reach it by, where a proxy stands in front: https://ci-3.example.com. */
  base: z.string().refine(isOrigin, "an http or https address without a path").optional(),
  /** Names of this host. */
  hosts: z.array(z.string().max(253)).max(32).optional(),
  /** True: without encryption, at an address that others can reach. */
  plain: z.boolean().optional(),
});

const config = z.strictObject({
  /** For sandboxes that do not say otherwise. */
  defaults: z
    .strictObject({
      ttl: orNever.optional(),
      idle: orNever.optional(),
      stopAfter: orNever.optional(),
      removeAfter: orNever.optional(),
    })
    .default({}),
  limits: z
    .strictObject({
      sandboxes: z.int().min(1).max(100_000).optional(),
      /** Of all machines together: what they own, and what is claimed for them. */
      memory: size.optional(),
      /** One part in this many of what machines may still come to own is kept for them; 1: no over-commit. */
      overcommit: z.number().min(1).max(1_000).optional(),
      /** Left available to the rest of the host. */
      reserveMemory: size.optional(),
      /** Of all sandboxes' folders together. */
      disk: size.optional(),
      /** Left free on the disk of the state folder. */
      freeDisk: size.optional(),
      /** Output of execs, of all sandboxes together. */
      logs: size.optional(),
      sandbox: z
        .strictObject({
          cpus: z.int().min(1).max(64).optional(),
          memory: size.optional(),
          /** Of its folder: what it has written to its disk, logs, what is kept of it when it is frozen. */
          disk: size.optional(),
          ttl: duration.optional(),
          logs: size.optional(),
        })
        .default({}),
    })
    .default({ sandbox: {} }),
  /** What sandboxes may reach. */
  network: z
    .strictObject({
      /** Of sandboxes that don't say otherwise. */
      defaults: networkLayer.default({}),
      /** No sandbox reaches more than that. */
      maximum: networkLayer.optional(),
      /** Servers that names are asked of, instead of the host's own: ADDRESS or ADDRESS:PORT. */
      dns: z
        .array(z.string().refine(isServer, "an address of a server, with or without :PORT"))
        .max(8)
        .default([]),
      /** The proxy that leads out of the company, instead of the one that the daemon's environment names; `off`: none. */
      proxy: z
        .string()
        .refine((text) => text === "off" || proxyUrl(text) !== null, "off, or an http or https address")
        .optional(),
      /** What is reached without it: names with all below them, addresses, CIDR, each with or without :PORT. */
      noProxy: z.array(z.string().min(1).max(260)).max(256).optional(),
      /** Certificates of authorities for sandboxes that reach anything, as files in PEM; `off`: none. Default: those that were added to this host. */
      ca: z
        .union([z.literal("off"), z.array(z.string().startsWith("/")).max(16)], "off, or a list of files")
        .optional(),
    })
    .default({ defaults: {}, dns: [] }),
  /** Where browsers see what listens in sandboxes. */
  preview: z
    .strictObject({
      /** ADDRESS:PORT. Default: a port of the loopback addresses that stays the same, from the first preview on. */
      listen: z.string().refine(isServer, "ADDRESS:PORT").optional(),
      /** Names of it, `<port>-<sandbox>.<domain>`, lead to the listener. */
      domain: z
        .string()
        .regex(
          /^(?=.{1,190}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/,
          "a domain, in lower case",
        )
        .optional(),
      /** What a browser's address begins with, where a proxy stands in front: https://previews.example.com. */
      base: z.string().refine(isOrigin, "an http or https address without a path").optional(),
      /** Names of the listener itself. */
      hosts: z.array(z.string().max(253)).max(32).default([]),
    })
    .default({ hosts: [] }),
  /** Where the API is served over TCP, to whoever has a token: an address, or one with what belongs to it. */
  listen: z
    .union(
      [
        z
          .string()
          .refine(isApiListen)
          .transform((address): z.infer<typeof listenAt> => ({ address })),
        listenAt,
      ],
      "ADDRESS:PORT, such as 127.0.0.1:7878, or a map with address: ADDRESS:PORT",
    )
    .optional(),
  /** Where Prometheus finds the metrics of this host. */
  metrics: z
    .strictObject({
      /** ADDRESS:PORT. Absent: nowhere. Port 0: any free port, which `thaw doctor` shows. */
      listen: z.string().refine(isListen, "ADDRESS:PORT, such as 127.0.0.1:9464").optional(),
    })
    .default({}),
  /** Where the spans of what this host does are sent. */
  telemetry: z
    .strictObject({
      /** Of an OpenTelemetry collector that takes OTLP over HTTP: http://127.0.0.1:4318. Absent: what `OTEL_EXPORTER_OTLP_ENDPOINT` says. */
      endpoint: z.string().refine(isHttpUrl, "an http or https address").optional(),
    })
    .default({}),
  /** How machines are run. */
  runner: z
    .strictObject({
      /** Makes machines where nothing else is asked for. Default: qemu. */
      default: runnerName.optional(),
      /** Where the default runner could only emulate: do so, take gvisor, or make no machine that is emulated. */
      withoutKvm: z.enum(["emulated", "gvisor", "refuse"]).optional(),
      /** Deadlines are lengthened by this factor. Absent: measured when the daemon starts. */
      slow: z.number().min(1).max(100).optional(),
      /** CPU models of guests under KVM, best first: the first that the host's CPU has whole is taken. */
      kvmCpus: z.array(cpuModel).min(1).max(16).optional(),
      /** False: guests under KVM boot without their kernel's mitigations. */
      mitigations: z.boolean().optional(),
    })
    .default({}),
  /**
   * Machines that are made before anybody asks: how many, by a template's name or a snapshot's tag; or with other cpus and memory than its own.
   * `auto`: as many of each snapshot as the last hour needed at once.
   */
  pool: z
    .union(
      [z.literal("auto"), z.record(tag, z.union([plainPool, sizedPool]))],
      "auto, or how many by template: base: 2",
    )
    .default({}),
  /** Cached folders of runs, of all repositories together. */
  caches: z
    .strictObject({
      maxCount: z.int().min(1).max(10_000).default(500),
      maxBytes: size.default(10_240),
      /** Since a run last used them. */
      maxAge: duration.default(7 * 24 * 3_600_000),
    })
    .default({ maxCount: 500, maxBytes: 10_240, maxAge: 7 * 24 * 3_600_000 }),
  /** Machines kept after steps of templates' setups. */
  steps: z
    .strictObject({
      maxBytes: size.default(10_240),
      /** Since a build last used them. */
      maxAge: duration.default(30 * 24 * 3_600_000),
    })
    .default({ maxBytes: 10_240, maxAge: 30 * 24 * 3_600_000 }),
  /** Where the page may push snapshots and captures to, with the credentials of the daemon's user. */
  stores: z.array(storeName).max(32).default([]),
  captures: budget
    .extend({
      /** Of each repository's. */
      perRepository: budget.default({}),
    })
    .default({ perRepository: {} }),
});
/** As `node:dns` takes servers. */
function isServer(text: string): boolean {
  const parts = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text);
  const address = parts?.[1] ?? parts?.[2] ?? text;
  return isIP(address) !== 0 && (parts?.[3] === undefined || Number(parts[3]) <= 65_535);
}

function isListen(text: string): boolean {
  return isServer(text) && isIP(text) === 0 && /:\d+$/.test(text);
}

function isHttpUrl(text: string): boolean {
  return /^https?:$/.test(URL.parse(text)?.protocol ?? "");
}

/** As `isListen`, or both loopback addresses. */
function isApiListen(text: string): boolean {
  return isListen(text.replace(/^localhost:/, "127.0.0.1:"));
}

function isOrigin(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : null;
  return url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`;
}

export type Config = z.infer<typeof config>;

/** Throws `usage` with every mistake as `FILE:LINE:COLUMN: KEY: what`. */
export function parseConfig(text: string, file = "config.yaml"): Config {
  const checked = checkYaml(text, { file, shape: config, whole: "the file" });
  if ("value" in checked) return checked.value;
  const { mistakes } = checked;
  throw new EngineError(
    "usage",
    `${file} has ${mistakes.length} mistake${mistakes.length === 1 ? "" : "s"}`,
    { details: mistakes },
  );
}

/**
 * The configuration in force. The file is looked at again whenever something is to be made, so that a change needs no restart. While it has
 * a mistake the last limits that could be read go on (those of an empty file, when there were none), and nothing is made.
 */
export class HostConfig {
  readonly path: string;
  #value: Config;
  #fault: EngineError | null = null;
  /** Of the file as it was read; null: it is read again in any case. */
  #stamp: string | null = null;
  readonly #listeners = new Set<(value: Config) => void>();

  /** Never throws: see `fault`. @param path an absent file is an empty one */
  constructor(path: string) {
    this.path = path;
    this.#value = parseConfig("");
    this.refresh();
  }

  get value(): Config {
    return this.#value;
  }

  /** Its mistakes are in `details`; null: there are none. As of the last `refresh`. */
  get fault(): EngineError | null {
    return this.#fault;
  }

  /** What is in force, for something that is to be made. Throws `host-not-ready` with every mistake. */
  required(): Config {
    this.refresh();
    if (this.#fault === null) return this.#value;
    const { message, details = [] } = this.#fault;
    throw new EngineError(
      "host-not-ready",
      `this host creates nothing until its configuration is corrected: ${message}`,
      {
        details,
        hint: `correct ${this.path}; the next request reads it again`,
      },
    );
  }

  /** Calls back when other values come into force. */
  listen(listener: (value: Config) => void): void {
    this.#listeners.add(listener);
  }

  /** Reads the file again if it has changed. */
  refresh(): void {
    const stamp = stampOf(this.path);
    if (stamp !== null && stamp === this.#stamp) return;
    this.#stamp = null;
    try {
      this.#value = parseConfig(readConfigText(this.path), this.path);
      this.#fault = null;
      for (const listener of this.#listeners) listener(this.#value);
    } catch (error) {
      this.#fault = error as EngineError;
    }
    this.#stamp = stamp;
  }
}

/** The lines of `thaw doctor`: one for each mistake. */
export function configProbes({ fault }: HostConfig): Probe[] {
  if (fault === null) return [];
  const { message, details = [message] } = fault;
  const hint = "this host creates nothing until the file is corrected; the next request reads it again";
  return details.map((detail) => ({ name: "config", state: "missing", fatal: true, detail, hint }));
}

function stampOf(path: string): string | null {
  try {
    const { ino, size: bytes, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return [ino, bytes, mtimeNs, ctimeNs].join(" ");
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? "absent" : null;
  }
}

/** Of an absent file: empty. Throws `host-not-ready`. */
export function readConfigText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return "";
    const why = code === "EISDIR" ? "is a folder" : `can't be read: ${message}`;
    throw new EngineError("host-not-ready", `${path} ${why}`, { cause: error });
  }
}
