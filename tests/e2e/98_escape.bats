# SPDX-License-Identifier: Apache-2.0
# hvrun-vmm and hvrun-fs as attackers, after they have confined themselves (tests/attack): each
# attempt is refused, and succeeds where they have not. The programs are those of the release, object
# file for object file. On the host of the emulation engine the kernel may lack what is attacked, and
# the caller may lack privileges: then what could not be shown is printed. In kvmbox all of it is shown.

load lib

setup_file() {
	ATTACKS=$(dirname "$HVRUN")/attack
	export ATTACKS
}

# What hvrun runs with is built beside the attackers.
attack() {
	HVRUN=$ATTACKS/hvrun hv run --accel "$HVRUN_ACCEL" --bundle "$BUNDLE" "escape$BATS_TEST_NUMBER-$$" \
		</dev/null >"$OUT" 2>"$ERR"
}

# One VM, whose programs make all tables while it starts; then it is to run as any other.
@test "no attempt gets out of hvrun-vmm, of its helpers, or of hvrun-fs, and each does without confinement" {
	local dir=$BATS_TEST_TMPDIR/attack table
	mkdir -p "$dir"/{export,readonly}
	echo data | tee "$dir/export/file" >"$dir/readonly/file"
	python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$dir/relayed"
	bind "$dir/export" /mnt/export
	bind "$dir/readonly" /mnt/readonly rbind,ro
	bind "$dir/relayed" /run/relayed
	# A namespace that a hook might fill may come to have a resolver in its loopback.
	echo 'nameserver 127.0.0.11' >"$dir/resolv.conf"
	bind "$dir/resolv.conf" /etc/resolv.conf
	config '.hooks.createRuntime = [{path: "/bin/true"}]'
	args /bin/echo started
	HVRUN_ATTACK_DIR=$dir attack || fail "the VM did not run"
	expect_out started
	for table in hvrun-vmm relay resolver hvrun-fs; do
		judge "$dir/$table" >>"$BATS_TEST_TMPDIR/verdict"
	done
	[ -z "${HVRUN_ATTACK_TABLES:-}" ] || cp "$dir"/{hvrun-vmm,relay,resolver,hvrun-fs} "$HVRUN_ATTACK_TABLES"
	sed 's/^/# /' "$BATS_TEST_TMPDIR/verdict" >&3
	! grep -q '^WRONG' "$BATS_TEST_TMPDIR/verdict" || fail "$(grep '^WRONG' "$BATS_TEST_TMPDIR/verdict")"
}

# judge TABLE: of its fields the first is the attempt, the second what became of it unconfined. What is
# wrong with the table is said behind "WRONG".
judge() {
	local limit=0
	[ "$HVRUN_ACCEL" = kvm ] || limit=20
	awk -F '\t' -v table="${1##*/}" -v limit="$limit" '
		NR == 1 || NF < 2 { last = $1; next }
		{ attempts++; last = $1 }
		$2 != "WORKED" { missing++; shown = shown " [" $1 ": " $2 "]" }
		{
			for (i = 3; i <= NF; i++) {
				if ($i ~ /^killed/)
					killed++
				else if ($i ~ /^E[A-Z0-9]+$/)
					failed++
				else if ($i == "allowed")
					allowed++
				else
					print "WRONG: " table ": " $0
			}
		}
		END {
			printf "%s: %d attempts: killed %d, failed %d, allowed by design %d times; not shown here: %d%s\n",
				table, attempts, killed, failed, allowed, missing, shown
			if (last != "end" || attempts < 60)
				print "WRONG: " table ": not complete, " attempts " attempts, the last is " last
			if (missing > limit)
				print "WRONG: " table ": " missing " attempts do not work without confinement either"
		}' "$1"
}

# As itself, with its VM: not in a copy without one. It is the first thing that the thread does behind
# its list. What succeeds ends the program.
live() {
	! HVRUN_ATTACK_LIVE=$1 attack || fail "hvrun-vmm survived: $1"
	grep -qF "hvrun-vmm: killed: $2 made the system call $3(" "$ERR" || fail "not said: $1"
	! grep -q started "$OUT" || fail "the container has run"
}

@test "hvrun-vmm with its VM dies of the attempt, and says what it was" {
	args /bin/echo started
	live 'main:open a file of the host (openat)' 'the main thread' openat
	live 'main:execute a program' 'the main thread' execve
}

# bats test_tags=kvm
@test "so it does when it is a thread of a vCPU that attacks" {
	args /bin/echo started
	live 'vcpu:open a file of the host (openat)' 'the thread of a vCPU' openat
	live 'vcpu:a new process (fork)' 'the thread of a vCPU' fork
}

@test "hvrun-fs with its exports dies of the attempt" {
	args /bin/echo started
	! HVRUN_ATTACK_LIVE='server:a Unix socket' attack || fail 'hvrun-fs survived'
	expect_err 'hvrun-fs'
	HVRUN_ATTACK_LIVE='server:open a file of the host (openat)' attack || fail 'hvrun-fs did not go on'
	expect_out started
}
