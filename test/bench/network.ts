/** The way out of a sandbox and the ports into it, against the agent's channel with nothing on it. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { shell } from "./guest.ts";
import { interleave, timed } from "./interleave.ts";
import { figure, peer, type Row } from "./row.ts";
import { createTimed } from "./thaw.ts";
import type { World } from "./world.ts";

const MEGABYTES = 100;
const CHUNK = Buffer.alloc(1 << 20);
const CONNECTIONS = 200;
const KEYS = 30;
const KEY_PAUSE_MS = 20;
const FORWARDED = 8000;
/** Answers each connection with what it sends, all of them in one process. */
const ECHO = `use IO::Socket::INET; use IO::Select; my $l = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => ${FORWARDED}, Listen => 256) or die; my $s = IO::Select->new($l); while (my @r = $s->can_read) { for my $c (@r) { if ($c == $l) { $s->add($l->accept) } elsif (sysread($c, my $b, 65536)) { syswrite($c, $b) } else { $s->remove($c); close $c } } }`;

export async function measureNetwork(world: World): Promise<Row[]> {
  const server = createServer((request, response) => {
    if (request.url !== "/bulk") return void response.end("x");
    let left = MEGABYTES;
    const more = (): void => {
      while (left-- > 0) if (!response.write(CHUNK)) return void response.once("drain", more);
      response.end();
    };
    more();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    return await measure(world, server);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Looks the name up, connects and asks, again and again. */
const CONNECT =
  'for (1..$ARGV[1]) { my $start = time; my $at = inet_aton("host.thaw.internal"); socket(my $to, PF_INET, SOCK_STREAM, 0); ' +
  'connect($to, sockaddr_in($ARGV[0], $at)) or die $!; syswrite $to, "GET / HTTP/1.0\\r\\nHost: host.thaw.internal:$ARGV[0]\\r\\n\\r\\n"; ' +
  'sysread $to, my $first, 1 or die; print time - $start, "\\n"; close $to }';

function milliseconds(seconds: string): number[] {
  return seconds
    .trim()
    .split("\n")
    .map((text) => Number(text) * 1000);
}

async function measure(world: World, server: Server): Promise<Row[]> {
  const { client, signal } = world;
  const { port } = server.address() as AddressInfo;
  const url = `http://host.thaw.internal:${port}`;
  const network = [{ allow: [`host:${port}`], from: "bench" }];
  await using sandbox = await client.sandboxes.create({ network }, { signal });
  const { id } = sandbox;
  const bulk = `curl -sSf -o /dev/null ${url}/bulk`;
  const download = await interleave({
    runs: world.runs(4),
    ours: async () => rate(await timed(() => shell(world, id, bulk))),
    against: async () => rate(await timed(() => send(world, id))),
    signal,
  });
  const anew = await shell(
    world,
    id,
    `for i in $(seq ${world.runs(10)}); do curl -sSf -o /dev/null -w '%{time_starttransfer}\n' ${url}/; done`,
  );
  const first = await shell(
    world,
    id,
    `perl -MSocket -MTime::HiRes=time -e '${CONNECT}' ${port} ${world.runs(30)}`,
  );
  const keys = await typed(world, id, bulk);
  const forwards = await throughForward(world, id);
  const thaws = await interleave({
    runs: world.runs(10),
    ours: () => createTimed(world, { network }),
    against: () => createTimed(world),
    signal,
  });
  return [
    {
      name: `download of ${MEGABYTES} MiB through egress`,
      ours: figure("MB/s", download.ours),
      against: peer("stdin of a command", "MB/s", download.against),
      target: { of: "ratio", bound: "at least", value: 0.6 },
    },
    {
      name: "new connection by name, first byte",
      ours: figure("ms", milliseconds(first)),
      target: { of: "ours", bound: "at most", value: 25 },
      note: `by a program that runs already; by curl, started anew each time: ${figure("ms", milliseconds(anew)).median.toFixed(0)} ms`,
    },
    {
      name: "a key's round trip during a download",
      ours: figure("ms", keys.busy),
      against: peer("idle", "ms", keys.idle),
      target: { of: "ratio", bound: "at most", value: 3 },
    },
    {
      name: `${CONNECTIONS} connections through a forward, memory of the daemon`,
      ours: figure("MiB", [forwards.grownBytes / 2 ** 20]),
      target: { of: "ours", bound: "at most", value: 50 },
      note: `${forwards.whole} of ${CONNECTIONS} came back whole`,
    },
    {
      name: "thaw with a network policy",
      ours: figure("ms", thaws.ours),
      against: peer("without", "ms", thaws.against),
      target: { of: "ratio", bound: "at most", value: 1.05 },
    },
  ];
}

function rate(ms: number): number {
  return (MEGABYTES * 2 ** 20) / 1000 / ms;
}

/** As many bytes into a command's standard input. */
async function send({ client, signal }: World, sandbox: string): Promise<void> {
  const reference = client.sandboxes.at(sandbox);
  const { id } = await reference.startDetached(
    { argv: ["sh", "-c", "cat > /dev/null"], stdin: true },
    { signal },
  );
  const connection = await reference.execAt(id).attach({ stdin: true, signal });
  for (let sent = 0; sent < MEGABYTES; sent += 1) await connection.writeStdin(CHUNK);
  connection.endStdin();
  await connection.result;
}

/** Keys typed into `cat`, while nothing else goes on and during downloads. */
async function typed(
  world: World,
  sandbox: string,
  bulk: string,
): Promise<{ idle: number[]; busy: number[] }> {
  const { client, signal } = world;
  const reference = client.sandboxes.at(sandbox);
  const { id } = await reference.startDetached({ argv: ["cat"], stdin: true }, { signal });
  let heard: () => void = () => {};
  const connection = await reference.execAt(id).attach({ stdin: true, stdout: () => heard(), signal });
  const type = async (): Promise<number> => {
    await new Promise((resolve) => setTimeout(resolve, KEY_PAUSE_MS));
    const { promise, resolve } = Promise.withResolvers<void>();
    heard = resolve;
    return timed(async () => {
      await connection.writeStdin(Buffer.from("k"));
      await promise;
    });
  };
  const several = async (): Promise<number[]> => {
    const samples: number[] = [];
    for (let key = 0; key < KEYS; key += 1) samples.push(await type());
    return samples;
  };
  const idle = await several();
  let over = false;
  const downloads = (async () => {
    while (!over) await shell(world, sandbox, bulk);
  })();
  const busy = await several();
  over = true;
  await downloads;
  connection.endStdin();
  await connection.result;
  return { idle, busy };
}

async function throughForward(world: World, sandbox: string): Promise<{ grownBytes: number; whole: number }> {
  const { client, signal } = world;
  const reference = client.sandboxes.at(sandbox);
  await reference.startDetached({ argv: ["perl", "-e", ECHO] }, { signal });
  await shell(
    world,
    sandbox,
    `until perl -MIO::Socket::INET -e 'exit !IO::Socket::INET->new("127.0.0.1:${FORWARDED}")'; do sleep 0.1; done`,
  );
  const { port } = await reference.ports.add({ port: 0, guest: FORWARDED }, { signal });
  const before = (await client.host.info({ signal })).rssBytes;
  const results = await Promise.all(Array.from({ length: CONNECTIONS }, () => echo(port ?? 0)));
  const after = (await client.host.info({ signal })).rssBytes;
  return { grownBytes: after - before, whole: results.filter(Boolean).length };
}

/** Whether 64 KiB came back whole. */
function echo(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const bytes = 65_536;
    let back = 0;
    const socket = connect(port, "127.0.0.1", () => socket.write(Buffer.alloc(bytes)));
    socket.on("data", (chunk) => {
      back += chunk.length;
      if (back === bytes) socket.end();
    });
    socket.on("error", () => resolve(false));
    socket.on("close", () => resolve(back === bytes));
  });
}
