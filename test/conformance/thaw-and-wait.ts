/** A process of its own that thaws a machine, says its record, and waits to be killed. */
import { createQemuRunner } from "../../runners/qemu/runner.ts";
import { settings } from "./this-host.ts";

const { options, spec } = JSON.parse(process.argv[2] ?? "{}");
const runner = createQemuRunner(options);
runner.configure(settings);
const machine = await runner.thaw(spec);
process.stdout.write(`${JSON.stringify(machine.record)}\n`);
setInterval(() => {}, 1000);
