/** A process of its own that thaws a machine, says its record, and waits to be killed. */
import { createRunner } from "./under-test.ts";

const { options, spec } = JSON.parse(process.argv[2] ?? "{}");
const machine = await createRunner(options).thaw(spec);
process.stdout.write(`${JSON.stringify(machine.record)}\n`);
setInterval(() => {}, 1000);
