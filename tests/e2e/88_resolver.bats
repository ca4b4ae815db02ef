# SPDX-License-Identifier: Apache-2.0
# A resolver in the loopback of the container's network namespace, as Docker has for its own networks.
load lib
load network

# A resolver on 127.0.0.11 of the container's namespace; what it is asked is in $ASKED, one "udp NAME" a line. Of
# "many.test" the answer is 100 addresses, of "hold.test" there is none.
resolver() {
	ASKED=$BATS_TEST_TMPDIR/asked
	: >"$ASKED"
	begin a python3 -c '
import socket, struct, sys, threading, time
def answer(how, query):
    end = query.index(b"\0", 12) + 5
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    open(sys.argv[1], "a").write("%s %s\n" % (how, ".".join(labels)))
    kind = struct.unpack(">H", query[end - 4:end - 2])[0]
    if labels[0] == "hold": time.sleep(100)
    n = 0 if kind != 1 else 100 if labels[0] == "many" else 1
    records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH4B", 1, 1, 60, 4, 192, 0, 2, i + 1) for i in range(n))
    return query[:2] + struct.pack(">HHHHH", 0x8180, 1, n, 0, 0) + query[12:end] + records
def stream(c):
    while length := c.recv(2, socket.MSG_WAITALL):
        reply = answer("tcp", c.recv(struct.unpack(">H", length)[0], socket.MSG_WAITALL))
        c.sendall(struct.pack(">H", len(reply)) + reply)
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.11", 53))
s.listen()
while True:
    threading.Thread(target=stream, args=(s.accept()[0],), daemon=True).start()
' "$ASKED"
}

# The container has $CONF as its resolv.conf, and $1 in it.
conf() {
	CONF=$BATS_TEST_TMPDIR/resolv.conf
	printf 'search .\n%s\n' "$1" >"$CONF"
	bind "$CONF" /etc/resolv.conf
}

# The processes of hvrun's that are there for a resolver.
pids() {
	grep -lzxF -- "BATS_RUN_TMPDIR=$BATS_RUN_TMPDIR" $(grep -lx hvrun-resolver /proc/[0-9]*/comm |
		sed 's/comm$/environ/') /dev/null 2>/dev/null | cut -d/ -f3
}

# helpers COUNT: so many are there
helpers() {
	[ "$(pids | wc -l)" -eq "$1" ]
}

@test "a resolver in the namespace's loopback: by UDP, too much for it, by TCP, and nothing else there" {
	BEFORE=$(leftovers)
	resolver
	begin a busybox httpd -f -p 127.0.0.11:54 -h /
	begin a busybox httpd -f -p 127.0.0.12:53 -h /
	conf 'nameserver 127.0.0.11'
	veth eth0 1
	join "$NS-a"
	box asks
	[ "$(ex asks getent ahostsv4 one.test | awk '{ print $1; exit }')" = 192.0.2.1 ]
	grep -qx 'tcp one.test' "$ASKED"
	[ "$(ex asks getent ahostsv4 many.test | awk '$2 == "STREAM"' | wc -l)" -eq 100 ]
	# An answer that is too long for a datagram is cut between its records, and says so.
	ex asks perl -e 'use Socket; socket(S, PF_INET, SOCK_DGRAM, 0) or die;
		connect(S, sockaddr_in(53, inet_aton("127.0.0.11"))) or die "$!\n";
		send(S, pack("n6", 77, 0x100, 1, 0, 0, 0) . "\4many\4test\0" . pack("n2", 1, 1), 0);
		alarm 20; recv(S, $r, 4096, 0) // die; print join(" ", length($r), unpack("n6", $r)), "\n"' >"$OUT"
	# 12 bytes of header, 15 of the question, 30 records of 16
	[ "$(cat "$OUT")" = "507 77 33664 1 30 0 0" ]
	ex asks perl -e 'use Socket; for (["127.0.0.11", 54], ["127.0.0.12", 53]) {
		socket(S, PF_INET, SOCK_STREAM, 0) or die;
		print connect(S, sockaddr_in($_->[1], inet_aton($_->[0]))) ? "reached\n" : "$!\n" }' >"$OUT"
	[ "$(cat "$OUT")" = $'Connection refused\nConnection refused' ]
	helpers 1
	# It has standard streams and the monitor; the file was read. No privileges, no files, and a list of calls.
	local pid
	pid=$(pids)
	[ "$(ls "/proc/$pid/fd" | wc -l)" -eq 4 ]
	[ "$(grep -cE '^(CapEff:.0+|NoNewPrivs:.1|Seccomp:.2)$' "/proc/$pid/status")" -eq 3 ]
	[ ! -e "/proc/$pid/root/etc" ]
	hv delete --force asks
	eventually helpers 0
	nothing_left
}

# How many connections to the resolver there are, of those that it has accepted.
asking() {
	at a cat /proc/net/tcp | awk '$2 ~ /:0035$/ && $4 == "01"' | wc -l
}

asking_is() {
	[ "$(asking)" -eq "$1" ]
}

@test "queries by UDP that have no answer: 64 at once, the oldest go, and none outlives the container" {
	resolver
	conf 'nameserver 127.0.0.11'
	join "$NS-a"
	# Its network namespace is another than guestinit's then.
	config '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 0, size: 65536}] |
		.linux.gidMappings = .linux.uidMappings'
	box asks
	ex asks perl -e 'use Socket; socket(S, PF_INET, SOCK_DGRAM, 0) or die; connect(S, sockaddr_in(53, inet_aton("127.0.0.11"))) or die "$!\n";
		$q = "\4test\0" . pack("n2", 1, 1);
		for $i (1 .. 100) { send(S, pack("n6", $i, 0x100, 1, 0, 0, 0) . "\4hold" . $q, 0); select(undef, undef, undef, 0.01) }
		send(S, pack("n6", 101, 0x100, 1, 0, 0, 0) . "\3one" . $q, 0);
		alarm 20; recv(S, $r, 4096, 0) // die; print unpack("n", $r), "\n"' >"$OUT"
	[ "$(cat "$OUT")" = 101 ]
	# One of them made room for the last.
	eventually asking_is 63
	hv kill asks KILL
	eventually asking_is 0
}

@test "the host keeps to the resolver that the file named before the process ran, whatever becomes of the file" {
	resolver
	begin a busybox httpd -f -p 127.0.0.12:53 -h /
	conf 'nameserver 127.0.0.11'
	join "$NS-a"
	box asks
	ex asks sh -c 'echo nameserver 127.0.0.12 >/etc/resolv.conf'
	grep -qx 'nameserver 127.0.0.12' "$CONF"
	# Past guestinit: the host's vsock port, AF_VSOCK being 40.
	ex asks perl -e 'use Socket; socket(S, 40, SOCK_STREAM, 0) or die "$!\n"; connect(S, pack("SSLLL", 40, 0, 2047, 2, 0)) or die "$!\n";
		$q = pack("n6", 79, 0x100, 1, 0, 0, 0) . "\5later\4test\0" . pack("n2", 1, 1);
		syswrite(S, pack("n", length($q)) . $q); alarm 20; read(S, $r, 4); print join(" ", unpack("n2", $r)), "\n"' >"$OUT"
	[ "$(cat "$OUT")" = "44 79" ]
	grep -qx 'tcp later.test' "$ASKED"
}

@test "a resolver that is named between create and start only; with none there, an answer that says so" {
	conf 'nameserver 192.0.2.53'
	args sleep 100000
	BOXES+=(asks)
	hv create --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" asks </dev/null >"$OUT" 2>"$ERR" 3>&-
	echo 'nameserver 127.0.0.11' >"$CONF"
	hv start asks
	# Nobody listens there yet: SERVFAIL, for which the C library does not wait.
	ex asks perl -e 'use Socket; socket(S, PF_INET, SOCK_DGRAM, 0) or die;
		connect(S, sockaddr_in(53, inet_aton("127.0.0.11"))) or die "$!\n";
		send(S, pack("n6", 78, 0x100, 1, 0, 0, 0) . "\4many\4test\0" . pack("n2", 1, 1), 0);
		alarm 20; recv(S, $r, 4096, 0) // die; print join(" ", length($r), unpack("n6", $r)), "\n"' >"$BATS_TEST_TMPDIR/answer"
	[ "$(cat "$BATS_TEST_TMPDIR/answer")" = "27 78 33026 1 0 0 0" ]
	helpers 1
}

@test "a container whose resolver is elsewhere, or in its caller's network namespace, has no helper for it" {
	conf 'nameserver 192.0.2.53'
	join "$NS-a"
	box asks
	helpers 0
	hv delete --force asks
	echo 'nameserver 127.0.0.11' >"$CONF"
	at a "$HVRUN" --root "$STATE" run --detach --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" asks </dev/null >"$OUT" 2>"$ERR" 3>&-
	helpers 0
}
