/**
 * The command of a server inside a guest: it answers each request with status 200. It outlives clients that leave before their answer.
 * @param at a port of the guest's loopback, or a socket's path
 * @param answer a Perl string without quotes, in which `$r` is the request line and the headers
 * @param headers more lines, each with its `\\r\\n`
 */
export function guestServer(at: number | string, answer: string, headers = ""): [perl: string, ...string[]] {
  const socket =
    typeof at === "number"
      ? `INET->new(LocalAddr=>"127.0.0.1",LocalPort=>${at},Listen=>5,ReuseAddr=>1)`
      : `UNIX->new(Local=>"${at}",Listen=>5)`;
  const program =
    `$SIG{PIPE}="IGNORE"; my $s=IO::Socket::${socket} or die $!; while(1){ my $c=$s->accept or next; ` +
    `my $r=""; while(<$c>){ last if /^\\r/; $r.=$_ } ` +
    `print $c "HTTP/1.0 200 OK\\r\\n${headers}\\r\\n${answer}"; close $c }`;
  return ["perl", "-MIO::Socket::INET", "-MIO::Socket::UNIX", "-e", program];
}
