# SPDX-License-Identifier: Apache-2.0
# How the programs were compiled and linked, read from the programs themselves. What gcc was told
# is in the debug information of each source file, of which every one is looked at.
load lib

programs() {
	local folder
	folder=$(dirname "$HVRUN")
	printf '%s\n' "$folder"/{hvrun,hvrun-vmm,hvrun-fs,guestinit}
}

# The same program with its debug information: the guest's is stripped.
with_debug() {
	if [ -e "$1.debug" ]; then echo "$1.debug"; else echo "$1"; fi
}

# compiled_with FILE OPTION: each of its source files was.
compiled_with() {
	local sources with
	readelf --debug-dump=info --dwarf-depth=1 -W "$1" | grep DW_AT_producer >"$OUT"
	sources=$(wc -l <"$OUT")
	with=$(grep -cw -- "$2" "$OUT") || true
	[ "$sources" -ge 10 ] || fail "$1: $sources source files have debug information"
	[ "$with" = "$sources" ] || fail "$1: $with of $sources source files with $2"
}

@test "position-independent, read-only after relocation, nothing writable that is code" {
	local program
	for program in $(programs); do
		readelf -hW "$program" | grep -q 'Type: *DYN (Position-Independent Executable' || fail "$program: no PIE"
		readelf -lW "$program" >"$OUT"
		grep -q ' GNU_RELRO ' "$OUT" || fail "$program: no RELRO"
		grep -Eq ' GNU_STACK .* RW  *0x' "$OUT" || fail "$program: the stack"
		! grep -Eq '^ *LOAD .* RWE ' "$OUT" || fail "$program: a segment to write and to execute"
		readelf -dW "$program" >"$OUT"
		grep -q 'BIND_NOW' "$OUT" || fail "$program: bound lazily, so that RELRO is partial"
		! grep -Eq 'TEXTREL|RPATH|RUNPATH' "$OUT" || fail "$program: dynamic section"
	done
}

@test "every source file with stack protector and control-flow protection, as PIE" {
	local program file
	for program in $(programs); do
		file=$(with_debug "$program")
		compiled_with "$file" -fstack-protector-strong
		compiled_with "$file" -fPIE
		compiled_with "$file" -fcf-protection=full
		readelf -sW "$file" | grep -q ' __stack_chk_fail' || fail "$file: no stack protector"
	done
}

@test "where a processor checks jumps, it may land on our functions" {
	local program file address
	for program in $(programs); do
		file=$(with_debug "$program")
		address=0x$(readelf -sW "$file" | awk '$4 == "FUNC" && $8 == "main" { print $2 }')
		objdump -d --start-address="$address" --stop-address=$((address + 4)) "$file" >"$OUT"
		grep -qw endbr64 "$OUT" || fail "$file: main"
		# The linker's note for the whole needs the C library's start files to have it, too.
		if readelf -nW "$(gcc -print-file-name=Scrt1.o)" | grep -q 'IBT, SHSTK'; then
			readelf -nW "$program" | grep -q 'IBT, SHSTK' || fail "$program: not marked"
		fi
	done
}

@test "the C library's checked functions, not the plain ones" {
	local program plain folder
	for program in $(programs); do
		readelf -sW "$(with_debug "$program")" >"$OUT"
		grep -Eq ' __v?snprintf_chk(@|$)' "$OUT" || fail "$program: nothing fortified"
	done
	# Of these FORTIFY leaves none (of snprintf it does, where the room is a variable). A static
	# program has them from the C library itself.
	for program in $(programs); do
		[ "${program##*/}" != guestinit ] || continue
		plain=$(readelf --dyn-syms -W "$program" | grep -Eo ' v?(f|d|as)?printf@' || true)
		[ -z "$plain" ] || fail "$program: $plain"
	done
	folder=$(dirname "$HVRUN")/static
	plain=$(find "$folder" -name '*.o' -exec nm -A {} + | grep -E ' U v?(f|d|as)?printf$' || true)
	[ -z "$plain" ] || fail "guestinit: $plain"
}

@test "nothing of what makes attackers of them for tests" {
	local program
	for program in $(programs); do
		readelf -sW "$(with_debug "$program")" >"$OUT"
		! grep -E ' (__wrap_|__real_|attack|attempts)' "$OUT" || fail "$program: symbols"
		! grep -aq HVRUN_ATTACK "$program" || fail "$program: text"
	done
	# Where it is, it is found like this.
	for program in "$(dirname "$HVRUN")"/attack/hvrun-{vmm,fs}; do
		readelf -sW "$program" | grep -Eq ' __wrap_filter_install' || fail "$program: symbols"
		grep -aq HVRUN_ATTACK "$program" || fail "$program: text"
	done
}
