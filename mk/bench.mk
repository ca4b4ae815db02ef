# SPDX-License-Identifier: Apache-2.0
# `make bench`: every benchmark in tests/bench, one after the other.

.PHONY: bench
bench: all kernel
	@for bench in $(wildcard tests/bench/*); do \
		[ -f $$bench ] && [ -x $$bench ] || continue; \
		echo "== $$bench"; O=$(O) $$bench || exit 1; \
	done
