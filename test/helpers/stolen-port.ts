/**
 * Perl for root in the guest: only one process may open the agent's port, so its descriptor is taken from the agent. `put` writes to the
 * port what it is given, however long the host takes.
 */
export const STOLEN_PORT = [
  "my ($n) = grep { (readlink qq(/proc/1/fd/$_)) =~ m{^/dev/vport} } map { m{(\\d+)$} } glob q(/proc/1/fd/*);",
  "my $agent = syscall(434, 1, 0); my $fd = syscall(438, $agent, $n + 0, 0);",
  "open(my $port, q(>&=), $fd) or die qq(no port: $!);",
  "sub put { my ($bytes) = @_; while (length $bytes) { my $w = syswrite($port, $bytes);",
  "if (defined $w) { substr($bytes, 0, $w, q()) } else { my $set = q(); vec($set, fileno($port), 1) = 1; select(undef, $set, undef, 1) } } }",
].join(" ");

/** Perl that evaluates to a sound frame without bytes, of a stream that nobody has opened. */
export const BARE_FRAME = "pack('CCCCx8VV', 0xa5, 5, 1, 0, 7, 0) . chr(0x5a)";
/** The same, of another session. */
export const STRANGE_FRAME = "pack('CCCCVVVV', 0xa5, 8, 0, 0, 9, 9, 7, 0) . chr(0x5a)";

/** Prints `flooding` and then sends a frame for as long as it is let. What is printed leaves through the same port: it goes first. */
export const flood = (frame: string): string =>
  `$| = 1; ${STOLEN_PORT} print qq(flooding\\n); select(undef, undef, undef, 1); my $chunk = (${frame}) x 3000; put($chunk) for 1 .. 100_000;`;

/** Shell scripts for root in the guest, without the port. */
export const FORK_BOMB = "f() { f | f & }; f; while :; do sleep 1 || :; done";
export const CONSOLE_FLOOD = "cat /dev/zero > /dev/ttyS0";
export const UNREAD_OUTPUT = "yes & yes >&2 & wait";
