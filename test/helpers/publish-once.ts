/** Publishes a folder, and prints how that went: for a test that has the system refuse one of its steps. */
import { publish } from "../../durable/publish.ts";

const [draft = "", target = ""] = process.argv.slice(2);
const published = publish({ draft, target, manifest: { name: "manifest.json", text: "{}\n" }, mode: 0o711 });
process.stdout.write(await published.then(String, ({ code }: NodeJS.ErrnoException) => code ?? "no code"));
