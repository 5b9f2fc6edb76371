/** Ports and unix sockets of the host that lead into a sandbox, and what listens in it. docs/NETWORK.md. */
import { z } from "zod";
import { listeningPorts } from "./guest.ts";
import { socketPathFault } from "./socket-path.ts";

const port = z.int().min(1).max(65_535);

/** A path of a unix socket. */
const socketPath = z.string().superRefine((path, context) => {
  const fault = socketPathFault(path);
  if (fault !== null) context.addIssue({ code: "custom", message: `not a socket's path: ${fault}` });
});

export const forwardRequest = z
  .strictObject({
    /** Of this host. Default: 127.0.0.1 and ::1. */
    address: z.union([z.ipv4(), z.ipv6()]).optional(),
    /** Of this host; 0: any that is free. Either this or `path`. */
    port: z.int().min(0).max(65_535).optional(),
    /** Of a unix socket that is made on this host. Either this or `port`. */
    path: socketPath.optional(),
    /** In the sandbox: a port, or a unix socket's path. */
    guest: z.union([port, socketPath]),
  })
  .superRefine(({ address, port, path }, context) => {
    if ((port === undefined) === (path === undefined))
      context.addIssue({ code: "custom", message: "give either port or path" });
    if (path !== undefined && address !== undefined)
      context.addIssue({ code: "custom", message: "a unix socket has no address", path: ["address"] });
  });

export const forward = z.object({
  /** null: 127.0.0.1 and ::1, or it is a unix socket. */
  address: z.string().nullable(),
  /** Of this host; null: it is a unix socket. */
  port: port.nullable(),
  /** Of the unix socket on this host; null: it is a port. */
  path: z.string().nullable().default(null),
  /** In the sandbox: a port, or a unix socket's path. */
  guest: z.union([port, z.string()]),
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
