/** Who a machine is after a thaw. Clones of one snapshot are twins until they are told otherwise. */
import { randomBytes, randomUUID } from "node:crypto";
import type { Agent } from "../../runners/agent/agent.ts";
import { AgentRefusal } from "../../runners/agent/errors.ts";
import type { Identity } from "../../runners/agent/messages.ts";
import type { Machine } from "../../runners/runner.ts";
import { EngineError } from "../errors.ts";
import type { SandboxRecord } from "./record.ts";

/** A hello that took longer gave the guest a time that is already old. */
const OLD_TIME_MS = 250;

export type ConnectOptions = Parameters<Machine["agent"]>[0];

/**
 * Opens a session with a machine's agent. Throws `agent-fault` when a part of the identity could not be applied, now or when it was thawed:
 * a clone that is still its twin must run nothing.
 */
export async function connectAgent(machine: Machine, options: ConnectOptions): Promise<Agent> {
  const started = performance.now();
  const agent = await machine.agent(options);
  const { errors } = agent.welcome;
  if (errors.length > 0) {
    agent.close();
    throw new EngineError("agent-fault", `the guest did not take its new identity: ${errors.join("; ")}`, {
      hint: "its snapshot may have a read-only /etc, or an agent that is not PID 1",
    });
  }
  if (options.identity && performance.now() - started > OLD_TIME_MS) await stepClock(agent);
  return agent;
}

/** Sets the guest's clock to the host's. Agents in older snapshots can't: their guests stay behind until they are thawed again. */
export async function stepClock(agent: Agent): Promise<void> {
  try {
    await agent.stepClock();
  } catch (error) {
    if (!(error instanceof AgentRefusal)) throw error;
  }
}

/** @param machineId what it was before, when the same sandbox goes on. The boot is another one all the same: the agent tells by it. */
export function freshIdentity(hostname: string, machineId: string | null = null): Identity {
  return {
    timeNs: (BigInt(Date.now()) * 1_000_000n).toString(),
    entropy: randomBytes(64).toString("base64"),
    hostname,
    machineId: machineId ?? randomBytes(16).toString("hex"),
    bootId: randomUUID(),
  };
}

/** What a sandbox's machine is told on its first hello after a thaw. An exact replay keeps the recorded entropy, clock and names. */
export function identityOf(record: Pick<SandboxRecord, "name" | "machineId" | "replay">): {
  identity?: Identity;
} {
  if (record.replay?.exact) return {};
  const identity = freshIdentity(record.name, record.machineId);
  record.machineId = identity.machineId;
  return { identity };
}
