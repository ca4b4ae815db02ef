# SPDX-License-Identifier: Apache-2.0
# Annotations and images of somebody who is not trusted: what the host does not allow is refused, and
# a path of the image leads nowhere but into the image.
load lib

@test "annotations that the host does not allow are refused, each by its name" {
	local name value annotation
	args true
	for annotation in kernel=/etc/passwd modules=/etc cmdline=init=/bin/sh accel=emulation vcpus=1 \
		memoryMiB=64 cache=never network=none net.rxBytesPerSecond=1000000 net.txBytesPerSecond=1000000 \
		net.antiSpoof=false net.ports=80:80 annotations=kernel Kernel=/etc/passwd ''=x ../kernel=x; do
		name=${annotation%%=*} value=${annotation#*=}
		config '.annotations = {("dev.hvrun." + $name): $value}' --arg name "$name" --arg value "$value"
		run_bundle </dev/null
		expect_refusal "annotations\\[\"dev\\.hvrun\\.${name//./\\.}\"\\]: not allowed by this host"
		[ ! -s "$OUT" ] && [ -z "$(ls -A "$STATE" | grep -v kvm-works)" ] || fail 'something was begun'
	done
	# Of several, one that is allowed lets none of the others pass; what it says is checked as well.
	echo '{"annotations": ["vcpus"]}' >"$BATS_TEST_TMPDIR/hvrun.json"
	config '.annotations = {"dev.hvrun.vcpus": "1", "dev.hvrun.cmdline": "debug"}'
	hv --config "$BATS_TEST_TMPDIR/hvrun.json" run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" no \
		</dev/null >"$OUT" 2>"$ERR" && fail 'an annotation passed' || status=$?
	expect_refusal 'annotations\["dev.hvrun.cmdline"\]: not allowed'
	config '.annotations = {"dev.hvrun.vcpus": "1000000"}'
	hv --config "$BATS_TEST_TMPDIR/hvrun.json" run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" no \
		</dev/null >"$OUT" 2>"$ERR" && fail 'a million processors' || status=$?
	expect_refusal 'annotations\["dev.hvrun.vcpus"\]: must be a number'
	# Others' annotations mean nothing, whatever they look like.
	config '.annotations = {"run.oci.handler": "krun", "io.katacontainers.config.hypervisor.kernel": "/x",
		"dev.hvrunkernel": "/x", "xdev.hvrun.kernel": "/x"}'
	run_bundle </dev/null
	expect_status 0
}

@test "an annotation's name does not reach the terminal raw" {
	args true
	config '.annotations = {("dev.hvrun.\u001b[2J\u0007\n" + "x" * 300): "1"}'
	run_bundle </dev/null
	[ "$status" -ne 0 ] || fail 'accepted'
	! LC_ALL=C grep -q $'[\x01-\x08\x0b-\x1f\x7f]' "$ERR" || fail 'control characters'
}

# An image whose links lead to a directory of the host, in each way that there is.
evil_image() {
	ROOT="$BATS_TEST_TMPDIR/root"
	OUTSIDE="$BATS_TEST_TMPDIR/outside"
	mkdir -p "$ROOT"/{bin,proc,sys,dev,deep/down/here} "$OUTSIDE/sub" "$BATS_TEST_TMPDIR/data"
	echo secret >"$OUTSIDE/secret"
	echo data >"$BATS_TEST_TMPDIR/data/file"
	cp "$FIXTURES/busybox" "$ROOT/bin/busybox"
	ln -s "$OUTSIDE" "$ROOT/absolute"
	ln -s "../../../../../../../../../..$OUTSIDE" "$ROOT/deep/down/here/relative"
	ln -s "/proc/self/root$OUTSIDE" "$ROOT/magic"
	ln -s /proc/1/root "$ROOT/init"
	ln -s absolute "$ROOT/second"
	ln -s second "$ROOT/third"
	ln -s "$OUTSIDE/secret" "$ROOT/secret"
	ln -s "$OUTSIDE/not-there" "$ROOT/dangling"
	ln -s loop "$ROOT/loop"
	new_bundle "$ROOT"
}

outside_is_untouched() {
	[ "$(cd "$OUTSIDE" && find . | sort | tr '\n' ' ')" = '. ./secret ./sub ' ] || fail "$(ls -lR "$OUTSIDE")"
	[ "$(cat "$OUTSIDE/secret")" = secret ] || fail 'the file of the host was written'
	[ "$(stat -c %a "$OUTSIDE/sub")" = 755 ]
}

@test "mounts on links of the image land inside it" {
	local where
	umask 022
	evil_image
	for where in absolute deep/down/here/relative third dangling; do
		bind "$BATS_TEST_TMPDIR/data" "/$where/mnt"
	done
	bind "$BATS_TEST_TMPDIR/data" "/absolute/sub"
	bind "$BATS_TEST_TMPDIR/data/file" "/secret"
	bind "$BATS_TEST_TMPDIR/data/file" "/absolute/new-file"
	bind "$BATS_TEST_TMPDIR/data" "/deep/../../../../absolute/up"
	config '.mounts += [{type: "tmpfs", source: "tmpfs", destination: "/second/tmp"}]'
	args /bin/busybox sh -c '
		for d in /absolute/mnt /deep/down/here/relative/mnt /third/mnt /dangling/mnt /absolute/sub /absolute/up; do
			/bin/busybox cat $d/file
		done
		/bin/busybox cat /secret /absolute/new-file
		echo written >/absolute/tmp/file; echo written >/absolute/new; /bin/busybox mkdir /absolute/made
		/bin/busybox ls /absolute /absolute/tmp'
	run_bundle </dev/null
	expect_status 0
	[ "$(grep -cx data "$OUT")" -eq 8 ] || fail 'not every mount is there'
	outside_is_untouched
	# What the host's path names is the image's own directory of that name.
	[ -d "$ROOT$OUTSIDE/made" ] && [ "$(cat "$ROOT$OUTSIDE/new")" = written ]
}

@test "links of the image where the container is told to go" {
	evil_image
	# A working directory, masked and read-only paths, device nodes and /proc behind links.
	rm -r "$ROOT/dev" && ln -s "$OUTSIDE" "$ROOT/dev"
	config '.process.cwd = "/absolute/cwd" | .linux.maskedPaths = ["/secret", "/absolute/sub"]
		| .linux.readonlyPaths = ["/third"]'
	args /bin/busybox sh -c '/bin/busybox pwd -P; echo >/dev/null && echo device'
	run_bundle </dev/null
	[ "$status" -eq 0 ] || [ "$(wc -l <"$ERR")" -eq 1 ] || fail 'neither run nor refused'
	outside_is_untouched
	# Links of /proc and links without an end are refused or harmless, never followed out.
	for where in /magic/mnt /init/mnt /loop/mnt; do
		evil_again
		bind "$BATS_TEST_TMPDIR/data" "$where"
		args /bin/busybox true
		run_bundle </dev/null
		[ "$status" -eq 0 ] || [ "$(wc -l <"$ERR")" -eq 1 ] || fail "$where: neither run nor refused"
		outside_is_untouched
	done
}

evil_again() {
	rm -rf "$ROOT" "$OUTSIDE" "$BATS_TEST_TMPDIR/data"
	evil_image
}
