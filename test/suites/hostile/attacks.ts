/**
 * What root in a guest does to its host. Over the agent's own port, taken from the agent: first beside the agent that goes on (it is process
 * 1), then instead of it, held still by ptrace. Each is a Perl program.
 */
import {
  BARE_FRAME,
  CONSOLE_FLOOD,
  FORK_BOMB,
  STOLEN_PORT,
  STRANGE_FRAME,
  UNREAD_OUTPUT,
} from "../../helpers/stolen-port.ts";

export interface Attack {
  name: string;
  argv: readonly string[];
  /** What the host is asked for meanwhile, so that there is something to lie about. Default: a command. */
  pokes?: "fork";
}

/**
 * The agent stands still, and the session is known: each frame of the host has it. `take` reads a frame, `answer` is one of the session;
 * `flood` sends for as long as it is let.
 */
const INSTEAD = [
  STOLEN_PORT,
  "for (map { m{(\\d+)$} } glob q(/proc/1/task/*)) { syscall(101, 0x4206, $_ + 0, 0, 0); syscall(101, 0x4207, $_ + 0, 0, 0); }",
  "my $in = q(); my ($type, $stream, $payload, $session) = (0, 0, q(), q());",
  "sub more { my ($n) = @_; while (length $in < $n) { my $r = sysread($port, $in, 65536, length $in); if (!$r) { my $set = q(); vec($set, fileno($port), 1) = 1; select($set, undef, undef, 1) } } }",
  "sub take { for (;;) { more(1); $in =~ s/^\\0+//; last if length $in && ord $in == 0xa5; substr($in, 0, 1, q()) if length $in }",
  "more(20); ($type, $stream, my $n) = (ord substr($in, 1, 1), unpack(q(x12VV), $in)); $session = substr($in, 4, 8); more(21 + $n); $payload = substr($in, 20, $n); substr($in, 0, 21 + $n, q()); }",
  "sub frame { my ($t, $c, $s, $p) = @_; pack(q(CCCC), 0xa5, $t, $c, 0) . $session . pack(q(VV), $s, length $p) . $p . chr(0x5a) }",
  "sub flood { my ($make) = @_; for (;;) { put(join q(), map { $make->() } 1 .. 500) } }",
  "take();",
].join(" ");

const REQUEST = 3;
const RESPONSE = 4;
const DATA = 5;
const ACK = 7;
const EVENT = 8;

const perl = (script: string): readonly string[] => ["perl", "-e", script];
const beside = (name: string, script: string): Attack => ({ name, argv: perl(`${STOLEN_PORT} ${script}`) });
const instead = (name: string, script: string): Attack => ({ name, argv: perl(`${INSTEAD} ${script}`) });
const inside = (name: string, script: string): Attack => ({ name, argv: ["sh", "-c", script] });

/** To each stream that the host opens. */
const lie = (frames: string): string => `for (;;) { put(${frames}) if $type == ${REQUEST}; take(); }`;

/** An answer that is right for whatever was asked: the lie comes after it. */
const SOUND = `frame(${RESPONSE}, 0, $stream, '{"ok":{"pid":9,"running":true,"in":0,"out":0,"err":0,"size":9,"processes":[],"listening":[],"truncated":false}}')`;

export const ATTACKS: readonly Attack[] = [
  beside("garbage", "put(join q(), map { chr int rand 256 } 1 .. 4096) for 1 .. 1000; sleep 100;"),
  beside("a frame of 4 GiB", "put(pack('CCCCx8VV', 0xa5, 5, 1, 0, 7, 0xffffffff)); sleep 100;"),
  beside("half a frame", "put(pack('CCCCx8VV', 0xa5, 5, 1, 0, 7, 60000) . q(x) x 100); sleep 100;"),
  beside(
    "a frame, byte by byte",
    "my $f = pack('CCCCx8VV', 0xa5, 5, 1, 0, 7, 60000); for (split //, $f . q(x) x 60000) { put($_); select(undef, undef, undef, 0.05) }",
  ),
  beside("a flood of frames of unknown streams", `my $f = (${BARE_FRAME}) x 3000; put($f) for 1 .. 1e6;`),
  beside("a flood of frames of another session", `my $f = (${STRANGE_FRAME}) x 3000; put($f) for 1 .. 1e6;`),
  instead(
    "a flood of control frames",
    `flood(sub { frame(${EVENT}, 0, 0, '{"event":"log","message":"x"}') });`,
  ),
  instead("a flood of data of unknown streams", `flood(sub { frame(${DATA}, 1, 99999, q(x) x 4000) });`),
  instead(
    "10,000 network streams",
    `my $s = 2; for (1 .. 10000) { put(frame(${REQUEST}, 0, $s, '{"op":"connect","name":"a' . $s . '.example.com","address":"198.18.0.9","port":443}')); $s += 2 } take() for 1 .. 1e9;`,
  ),
  instead(
    "requests that nobody knows",
    `my $s = 2; flood(sub { $s += 2; frame(${REQUEST}, 0, $s, '{"op":"' . (q(x) x 1000) . '"}') });`,
  ),
  instead(
    "a stream that is opened twice",
    `put(frame(${REQUEST}, 0, 2, '{"op":"connect","address":"198.18.0.9","port":443}') x 50); sleep 100;`,
  ),
  instead(
    "an answer of the wrong shape",
    lie(`frame(${RESPONSE}, 0, $stream, '{"ok":{"pid":-1,"running":"x","out":1e300}}')`),
  ),
  instead("two answers", lie(`frame(${RESPONSE}, 0, $stream, '{"error":{"kind":"io","message":"x"}}') x 2`)),
  instead("more data than the window", lie(`${SOUND} . frame(${DATA}, 1, $stream, q(x) x 65536) x 40`)),
  instead(
    "an acknowledgement of what was never sent",
    lie(`${SOUND} . frame(${ACK}, 0, $stream, pack(q(Q<), 0xffffffffffffffff))`),
  ),
  instead(
    "an end with offsets that were never reached",
    lie(
      `${SOUND} . frame(${EVENT}, 0, $stream, '{"event":"exit","code":0,"signal":null,"oom":false,"out":9007199254740991,"err":0,"durationMs":1}')`,
    ),
  ),
  instead("an answer that never ends", lie(`frame(${RESPONSE}, 0, $stream, q([) x 60000)`)),
  instead("the host's own frames, sent back", "for (;;) { put(frame($type, 0, $stream, $payload)); take() }"),
  instead("no answer at all", "take() for 1 .. 1e9;"),
  {
    ...inside(
      "a disk that says it is qcow2, with /etc/shadow behind it",
      "printf 'QFI\\373\\0\\0\\0\\003\\0\\0\\0\\0\\0\\0\\0\\110\\0\\0\\0\\013' > /h; printf '%072d/etc/shadow' 0 | dd of=/h bs=1 seek=20 conv=notrunc 2>/dev/null; dd if=/h of=/dev/vda conv=notrunc 2>/dev/null; sync; touch /written; sleep 100",
    ),
    pokes: "fork",
  },
  inside("a flood of the console", CONSOLE_FLOOD),
  inside("a fork bomb", FORK_BOMB),
  inside("all memory", "tail /dev/zero; tail /dev/zero; sleep 100"),
  inside(
    "all of its disk",
    "fallocate -l 3G /a; for n in 1 2 3 4 5 6 7 8; do fallocate -l 200M /b$n; done; sleep 100",
  ),
  inside(
    "clocks and random numbers",
    "while :; do date -s 2001-01-01; date -s 2037-01-01; head -c 100000 /dev/zero > /dev/urandom; done > /dev/null",
  ),
  inside("output that nobody reads", UNREAD_OUTPUT),
];

/** Those that CI has in no other test (test/e2e/hostile.test.ts has the rest). */
export const SHORT: ReadonlySet<string> = new Set(
  ATTACKS.map(({ name }) => name).filter(
    (name) =>
      ![
        "garbage",
        "a flood of frames of unknown streams",
        "a flood of frames of another session",
        "a flood of the console",
        "a fork bomb",
        "all memory",
        "all of its disk",
        "clocks and random numbers",
        "output that nobody reads",
      ].includes(name),
  ),
);
