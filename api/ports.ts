/** Ports of the host that lead into a sandbox, and what listens in it. docs/NETWORK.md. */
import { z } from "zod";
import { listeningPorts } from "./guest.ts";

const port = z.int().min(1).max(65_535);

export const forwardRequest = z.strictObject({
  /** Of this host. Default: 127.0.0.1 and ::1. */
  address: z.union([z.ipv4(), z.ipv6()]).optional(),
  /** Of this host; 0: any that is free. */
  port: z.int().min(0).max(65_535),
  /** In the sandbox. */
  guest: port,
});

export const forward = z.object({
  /** null: 127.0.0.1 and ::1. */
  address: z.string().nullable(),
  port,
  guest: port,
});

export const portsState = z.object({
  /** `fault`: why it does not listen now; null: it does. */
  forwards: z.array(forward.extend({ fault: z.string().nullable() })),
  /** As the guest tells; nothing when it is not running. */
  listening: listeningPorts,
});

export type ForwardRequest = z.infer<typeof forwardRequest>;
export type Forward = z.infer<typeof forward>;
export type PortsState = z.infer<typeof portsState>;
