# SPDX-License-Identifier: Apache-2.0
# `make lint`: the arrows between folders, both compilers without a warning, gcc's analyzer,
# cppcheck, clang-tidy, the syntax of scripts, and the kernel's fragments.

lint_src	:= $(sort $(all_src) $(wildcard tests/attack/*.c))
shell_src	:= $(shell grep -lsE '^\#!.*sh$$' quickstart .ci/run kernel-config/* tests/* tests/*/*)

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

lint-tidy: $(O)/gen/syscall_names.h
	clang-tidy --quiet --warnings-as-errors='*' $(lint_src) -- $(CPPFLAGS) -std=gnu17

lint-shell:
	for script in $(shell_src); do bash -n $$script || exit 1; done
	perl -c kernel-config/trim
	kernel-config/check
