# SPDX-License-Identifier: Apache-2.0
# The calls of tests/compat/table, made with runc and with the runtime under test, compared row by row. COMPAT_TABLE,
# when set, is a file to which the comparison goes as the rows of the table in docs/compatibility.md.
load lib

# Where hvrun differs from runc on purpose: what it says, by the call.
declare -gA differs=(
	# As a shell, and podman and docker, say it. Callers use create, not run.
	['run: a program that is not in $PATH']='127 executable file not found in \$PATH'
)

@test "exit codes, outputs and messages are runc's, row by row" {
	local title runc want message got_title got got_message verdict wrong=0
	tests/compat/table /usr/sbin/runc "$COMPAT_WORK/table-runc" >"$COMPAT_WORK/runc.rows" 3>&- &
	tests/compat/table "$COMPAT_RUNTIME" "$COMPAT_WORK/table-other" >"$COMPAT_WORK/other.rows" 3>&-
	wait $!
	[ "$(wc -l <"$COMPAT_WORK/runc.rows")" -gt 70 ]
	while IFS=$'\t' read -r title runc message <&5; do
		IFS=$'\t' read -r got_title got got_message <&6
		[ "$title" = "$got_title" ] || fail "rows out of step: $title, $got_title" || return 1
		verdict=same want=$runc
		if is_vm && [ -n "${differs[$title]:-}" ]; then
			verdict='differs on purpose'
			want=${differs[$title]}
		fi
		if [ "$got" != "$want" ]; then
			verdict=WRONG
			wrong=$((wrong + 1))
			printf '%s\n  expected: %s\n  got:      %s   %s\n' "$title" "$want" "$got" "$got_message"
		fi
		[ -z "${COMPAT_TABLE:-}" ] || printf '| %s | `%s` | `%s` | %s |\n' "$title" "${runc//|/ or }" "${got//|/ or }" "$verdict"
	done 5<"$COMPAT_WORK/runc.rows" 6<"$COMPAT_WORK/other.rows" >"$BATS_TEST_TMPDIR/table"
	[ -z "${COMPAT_TABLE:-}" ] || grep '^|' "$BATS_TEST_TMPDIR/table" >"$COMPAT_TABLE"
	grep -v '^|' "$BATS_TEST_TMPDIR/table" || true
	[ "$wrong" -eq 0 ] || fail "$wrong rows differ from runc's"
}

# The options of a command ("" for the global ones) in what runc's --help says.
runc_options() {
	runc ${1:+"$1"} --help | sed -n '/OPTIONS:/,$p' | grep -oE '^ +-.*' | sed -E 's/^ +//; s/  .*//; s/ value//g; s/,/ /g'
}

@test "each of runc's options is one of hvrun's, and it or docs/compatibility.md says what it means" {
	local command option output known wrong=0 n=0
	cd "$BATS_TEST_TMPDIR"
	touch config.json # for spec, which is to write nothing
	for command in '' create start state kill delete run exec list ps events pause resume update spec features; do
		known="$("$HVRUN" ${command:+"$command"} --help; cat "$BATS_TEST_DIRNAME/../../docs/compatibility.md")"
		for option in $(runc_options "$command"); do
			n=$((n + 1))
			[[ $option != -? ]] || known="$known $option"
			output=$("$HVRUN" --root "$BATS_TEST_TMPDIR/state" ${command:+"$command"} "$option=false" 2>&1 </dev/null) || true
			if [[ $output == *'no such option'* ]]; then
				echo "$command $option: not an option"
			elif ! grep -qE -- "(^|[^-a-z])$option([^-a-z]|\$)" <<<"$known"; then
				echo "$command $option: not documented"
			else
				continue
			fi
			wrong=$((wrong + 1))
		done
	done
	[ "$n" -gt 60 ]
	[ "$wrong" -eq 0 ]
}

@test "nothing is left" {
	nothing_left
}
