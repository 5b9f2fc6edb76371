/** Thaws a gVisor machine, prints its record, and waits to be killed. */
import { createGvisorRunner } from "../../runners/gvisor/runner.ts";

const { options, spec } = JSON.parse(process.argv[2] ?? "{}");
const machine = await createGvisorRunner(options).thaw(spec);
process.stdout.write(`${JSON.stringify(machine.record)}\n`);
setInterval(() => {}, 60_000);
