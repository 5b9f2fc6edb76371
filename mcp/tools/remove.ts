/** Removal, after a question. */

import { randomBytes } from "node:crypto";
import {
  acceptedContent,
  type ClientCapabilities,
  createRequestStateCodec,
  inputRequired,
  inputResponse,
} from "@modelcontextprotocol/server";
import { z } from "zod";
import { CAPTURE_ID_PATTERN } from "../../api/patterns.ts";
import { reference } from "../../api/schema.ts";
import { type Capture, ThawError } from "../../client/index.ts";
import { type Call, tool } from "../call.ts";
import { describeEnd } from "../case.ts";
import { findSandbox } from "../sandboxes.ts";

const CAPABILITIES = "io.modelcontextprotocol/clientCapabilities";
const consent = z.object({ remove: z.boolean().describe("Remove it") });

/** What was asked about comes back by way of the client: signed, so that nothing else is removed for the answer. */
export const questions = createRequestStateCodec<{ id: string }>({ key: randomBytes(32) });

interface Removable {
  kind: "sandbox" | "failure";
  id: string;
  name: string;
  what: string;
  remove: () => Promise<void>;
}

export const remove = tool({
  name: "remove",
  title: "Remove a sandbox or a failure",
  description:
    "Removes a sandbox that these tools made, or a kept failure, for good. The user is asked first, where the client can ask; otherwise confirm must repeat the full name or id. Sandboxes go by themselves when their time is up.",
  input: z.object({
    what: reference.describe("Name or id of the sandbox, or id of the failure"),
    confirm: z.string().max(200).optional().describe("The same again, where the user can't be asked"),
  }),
  output: z.object({ removed: z.string(), kind: z.enum(["sandbox", "failure"]) }),
  annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: true, openWorldHint: false },
  run: async ({ what, confirm }, call) => {
    const found = await find(call, what);
    const { id, name, kind } = found;
    if (canAsk(call)) {
      const asked = call.context.mcpReq.requestState<{ id: string }>();
      const { inputResponses } = call.context.mcpReq;
      if (
        asked === undefined ||
        asked.id !== id ||
        inputResponse(inputResponses, "consent").kind === "missing"
      )
        return inputRequired({
          inputRequests: {
            consent: inputRequired.elicit({
              message: `Remove ${found.what}? This can't be undone.`,
              requestedSchema: consent,
            }),
          },
          requestState: await questions.mint({ id }),
        });
      if (acceptedContent(inputResponses, "consent", consent)?.remove !== true)
        throw new ThawError("cancelled", `the user does not want ${name} to be removed`);
    } else if (confirm !== id && confirm !== name)
      throw new ThawError("usage", `this would remove ${found.what}; nothing was removed yet`, {
        hint: `if the user wants that, call again with confirm: ${name}`,
      });
    await found.remove();
    return { text: `${found.what}: removed`, structured: { removed: name, kind } };
  },
});

/** Whether the client can put a question to its user. */
function canAsk({ context, server }: Call): boolean {
  const { envelope } = context.mcpReq;
  const declared = (envelope as Record<string, unknown> | undefined)?.[CAPABILITIES] as
    | ClientCapabilities
    | undefined;
  const elicitation = (declared ?? server.server.getClientCapabilities())?.elicitation;
  if (elicitation === undefined) return false;
  return elicitation.form !== undefined || !("url" in elicitation);
}

async function find(call: Call, what: string): Promise<Removable> {
  const { thaw, signal } = call;
  if (what === "latest")
    throw new ThawError("usage", "latest may be another one by then", { hint: "give the id of the failure" });
  if (!CAPTURE_ID_PATTERN.test(what)) {
    const sandbox = await findSandbox(call, what);
    const { id, name } = sandbox;
    return {
      kind: "sandbox",
      id,
      name,
      what: `the sandbox ${name}`,
      remove: () => sandbox.remove({ signal }),
    };
  }
  const capture = await thaw.captures.get(what, { signal });
  const { id } = capture;
  if (capture.notes.pinned)
    throw new ThawError("conflict", `${id} is pinned, so these tools do not remove it`, {
      hint: `thaw capture unpin ${id}`,
    });
  const what_ = `the failure ${id} (${describeEnd(capture)}, ${originOf(capture)})`;
  return { kind: "failure", id, name: id, what: what_, remove: () => thaw.captures.remove(id, { signal }) };
}

function originOf({ createdAt, storedBytes }: Capture): string {
  return `of ${createdAt}, ${Math.ceil(storedBytes / 1024)} KiB`;
}
