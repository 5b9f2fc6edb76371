/** What a guest says of its processes. Every text is bounded: the guest is hostile. */
import { z } from "zod";
import { FILE_TYPES } from "./closed-lists.ts";

/** The process that the kernel holds for its core dump. */
export const crash = z.object({
  pid: z.int().min(1),
  /** Without `SIG`. */
  signal: z.string().max(16),
  name: z.string().max(64),
});

export const guestProcesses = z
  .array(
    z.object({
      pid: z.int().min(1),
      parent: z.int().min(0),
      uid: z.int().min(0),
      /** A letter of proc(5). */
      state: z.string().max(1),
      name: z.string().max(64),
      command: z.string().max(256),
    }),
  )
  .max(256);

export const listeningPorts = z
  .array(
    z.object({
      protocol: z.enum(["tcp", "tcp6", "udp", "udp6"]),
      address: z.string().max(45),
      port: z.int().min(0).max(65_535),
      pid: z.int().min(1).nullable(),
    }),
  )
  .max(128);

/** What runs in a sandbox, as its guest tells it. Nothing while it does not run, or does not answer in time. */
export const guestReport = z.object({ processes: guestProcesses, listening: listeningPorts });

export const fileType = z.enum(FILE_TYPES);

/** A file of a sandbox. */
export const fileEntry = z.object({
  path: z.string().max(8192),
  type: fileType,
  size: z.number().min(0),
  mode: z.int(),
  mtimeNs: z.string().max(24),
  uid: z.int(),
  gid: z.int(),
  target: z.string().max(8192).optional(),
  nameBase64: z.string().max(16_384).optional(),
  /** Names of extended attributes, the first 1 KiB of them. Absent in a listing, and from an older agent. */
  attributes: z.array(z.string().max(1024)).max(1024).optional(),
});
export const folderListing = z.object({ entries: z.array(fileEntry).max(1000), truncated: z.boolean() });
/** What came of a tree that was sent. */
export const treeReport = z.object({ entries: z.number().min(0), bytes: z.number().min(0) });

/** `1`: the client knows records of extended attributes, which older ones refuse. */
export const attributesFlag = z
  .enum(["0", "1"])
  .default("0")
  .transform((text) => text === "1");

/** `tar`: as an archive, for clients that can't ask by the header Accept, such as a link. */
export const treeFormat = z.literal("tar").optional();

export type GuestReport = z.infer<typeof guestReport>;
export type FileEntry = z.infer<typeof fileEntry>;
export type FolderListing = z.infer<typeof folderListing>;
