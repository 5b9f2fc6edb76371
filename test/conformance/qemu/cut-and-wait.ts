/** A process of its own that takes up a machine and freezes it, in one of the two ways, to be killed while it does. */
import { createQemuRunner } from "../../../runners/qemu/runner.ts";

const { options, record, freeze, dir } = JSON.parse(process.argv[2] ?? "{}");
const machine = await createQemuRunner(options).adopt(record);
if (freeze === undefined) await machine.takeDifference(dir);
else await machine.freezeLive(freeze);
setInterval(() => {}, 1000);
