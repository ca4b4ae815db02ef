# SPDX-License-Identifier: Apache-2.0
# For the runners of tests (tests/check, tests/e2e/run, tests/compat/run): a file of tests in a kvmbox of its own.
# shellcheck shell=bash

# A guest in the box has ended by a triple fault, which in the same place it does not do otherwise.
BOX_LOST=123

# run_in_box FILE SECONDS COMMAND...: COMMAND in a box, ended after so long, with what it printed on
# stdout at the end. A file's line "# kvmbox: OPTIONS" is for its box. The emulated processors of the
# box lose their way now and then: the box stands still (see guest_hold_code in tests/kvmbox/guest.c) or its
# own kernel panics (125), a guest in it is lost, or a test never ends (124). That is said, and the file
# run again, with one processor, which has nobody to disagree with: twice at most, or once where that costs
# all the time that a file has.
# Of several runners at once (tests/check) one has each file; for the others it has passed.
run_in_box() {
	local file=$1 patience=$2 code attempt why
	local -a own one=()
	shift 2
	[ -z "${KVMBOX_TAKEN:-}" ] || mkdir "$KVMBOX_TAKEN/${file//\//.}" 2>/dev/null || return 0
	read -ra own < <(sed -n 's/^# kvmbox: //p' "$file") || own=()
	box_out=$(mktemp)
	trap 'rm -f "$box_out"' EXIT
	for attempt in 1 2 3; do
		code=0
		tests/kvmbox/run --memory "${KVMBOX_MEMORY:-6144}" --timeout "$patience" ${own[@]+"${own[@]}"} \
			${one[@]+"${one[@]}"} -- "$@" >"$box_out" 2>&1 || code=$?
		why=$(sed -n 's/^kvmbox: //p' "$box_out" | tail -n 1)
		case "$attempt $code" in
		"1 124" | [12]" 125") ;;
		[12]" $BOX_LOST") why="a guest ended by a triple fault" ;;
		*) break ;;
		esac
		echo "# $file: $why; once more; after:"
		sed 's/^/# /' "$box_out" | tail -n 12
		one=(--cpus 1)
	done
	cat "$box_out"
	case $code in
	124 | 125) echo "not ok $file: $why ($attempt times), after: $(grep -E '^(ok|not ok|1\.\.)' "$box_out" | tail -n 1)" ;;
	esac
	rm -f "$box_out"
	return "$code"
}
