/** What a sandbox may reach, and what it did. docs/NETWORK.md. */
import { z } from "zod";
import { networkModes } from "./closed-lists.ts";
import { parseRule } from "./network-rule.ts";

export const networkMode = z.enum(networkModes, "none, open or audit");

const MAX_RULES = 500;

export const networkRule = z
  .string("a rule")
  .max(300)
  .superRefine((text, context) => {
    const parsed = parseRule(text);
    if ("mistake" in parsed)
      context.addIssue({ code: "custom", message: parsed.mistake, params: { whole: true } });
  });
const rules = z.array(networkRule, "a list of rules").max(MAX_RULES);

/** What one place says: a command line, a file, a request. */
export const networkLayer = z.strictObject({
  mode: networkMode.optional(),
  allow: rules.optional(),
  deny: rules.optional(),
});
/** As it is sent. Later ones go before earlier ones: the first match decides. */
export const networkRequest = z
  .array(networkLayer.extend({ from: z.string().min(1).max(100).default("request") }))
  .max(8);

/** As it is recorded with a sandbox. */
export const networkPolicy = z.object({
  mode: z.enum(networkModes),
  /** Where the mode was said. */
  from: z.string().default("default"),
  rules: z.array(
    z.object({
      action: z.enum(["allow", "deny"]),
      rule: z.string(),
      /** Where it was said: `command line`, `thaw.yaml`, `config.yaml`. */
      from: z.string(),
    }),
  ),
});

export const NETWORK_VERDICTS = ["allowed", "audited", "denied", "failed"] as const;

/** One connection. `audited`: allowed because the mode is `audit`; `failed`: allowed, and not reached. */
export const networkEntry = z.object({
  time: z.string(),
  exec: z.string().nullable(),
  process: z.string().nullable(),
  pid: z.int().nullable(),
  uid: z.int().nullable(),
  /** null: a program named the address itself. */
  name: z.string().nullable(),
  /** What was dialled, or named; null: none was dialled. */
  address: z.string().nullable(),
  port: z.int(),
  protocol: z.enum(["tcp", "tls", "http"]),
  /** Bytes from the guest and to it. */
  sent: z.number(),
  received: z.number(),
  durationMs: z.number(),
  verdict: z.enum(NETWORK_VERDICTS),
  rule: z.string().nullable(),
  reason: z.string(),
});

/** All connections to one place that ended in one way. */
export const networkSummary = z.object({
  destination: z.string(),
  port: z.int(),
  verdict: z.enum(NETWORK_VERDICTS),
  count: z.int(),
  sent: z.number(),
  received: z.number(),
  processes: z.array(z.string()),
  /** The rule that decided, or, of what was denied, the one to add; null: none, or none would help. */
  rule: z.string().nullable(),
  reason: z.string(),
});

export const networkTotals = z.object({
  allowed: z.int(),
  denied: z.int(),
  failed: z.int(),
  sent: z.number(),
  received: z.number(),
  /** Log lines that were not kept because there were too many. */
  dropped: z.int(),
});

export const networkState = z.object({
  policy: networkPolicy,
  /** What this host allows at most; null: it has no maximum. */
  maximum: networkPolicy.nullable(),
  /** Why its guest has no way out, whatever the policy; null: it has one. */
  unavailable: z.string().nullable(),
  totals: networkTotals,
  /** The most frequent first. */
  destinations: z.array(networkSummary),
});

export type NetworkMode = z.infer<typeof networkMode>;
export type NetworkLayer = z.infer<typeof networkLayer>;
export type NetworkRequest = z.input<typeof networkRequest>;
export type NetworkPolicy = z.infer<typeof networkPolicy>;
export type NetworkEntry = z.infer<typeof networkEntry>;
export type NetworkSummary = z.infer<typeof networkSummary>;
export type NetworkTotals = z.infer<typeof networkTotals>;
export type NetworkState = z.infer<typeof networkState>;
