# SPDX-License-Identifier: Apache-2.0
# `make lint`: the arrows between folders, both compilers without a warning, gcc's analyzer,
# cppcheck, clang-tidy, and shell syntax.

lint_src	:= $(sort $(all_src))
shell_src	:= quickstart .ci/run kernel-config/build kernel-config/check kernel-config/stock \
		   tests/check tests/arrows tests/unit/run tests/e2e/run tests/e2e/fixtures tests/kvmbox/run

.PHONY: lint lint-arrows lint-gcc lint-clang lint-analyzer lint-cppcheck lint-tidy lint-shell
lint: lint-arrows lint-gcc lint-clang lint-analyzer lint-cppcheck lint-tidy lint-shell

lint-arrows:
	tests/arrows

lint-gcc:
	$(MAKE) --no-print-directory O=$(O)/lint-gcc CC=gcc OPT='-O2 -Werror' all unit-tests

lint-clang:
	$(MAKE) --no-print-directory O=$(O)/lint-clang CC=clang OPT='-O2 -Werror' all unit-tests

lint-analyzer:
	$(MAKE) --no-print-directory O=$(O)/lint-analyzer CC=gcc OPT='-O2 -fanalyzer -Werror' all

lint-cppcheck:
	cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 -I. -D_GNU_SOURCE \
		--enable=warning,portability --suppress=missingIncludeSystem $(lint_src)

lint-tidy:
	clang-tidy --quiet --warnings-as-errors='*' $(lint_src) -- $(CPPFLAGS) -std=gnu17

lint-shell:
	for script in $(wildcard $(shell_src)); do bash -n $$script || exit 1; done
