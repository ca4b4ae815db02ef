# SPDX-License-Identifier: Apache-2.0
# `make fuzz FUZZ_SECONDS=60`: each target with libFuzzer, ASan and UBSan. New inputs go to
# $(O)/fuzz/corpus; the committed corpus is only read. `make fuzz-coverage` says for each target how
# many lines of the files that it is for both corpora reach.

FUZZ_SECONDS	?= 60
fuzz_names	:= $(patsubst tests/fuzz/fuzz_%.c,%,$(fuzz_src))
FUZZ_LINK	?= -fsanitize=fuzzer,address,undefined

.PHONY: fuzz fuzz-build fuzz-coverage $(addprefix fuzz-,$(fuzz_names))
fuzz-build:
	$(MAKE) --no-print-directory O=$(O)/fuzz CC=clang SAN=fuzzer-no-link,address,undefined \
		$(addprefix $(O)/fuzz/fuzzers/,$(fuzz_names))

# Those whose input is one JSON text.
$(foreach name,config guest_create stats vmm_plan,$(O)/fuzzers/$(name)): $(O)/obj/tests/fuzz/json_mutator.o
$(O)/fuzzers/%: $(O)/obj/tests/fuzz/fuzz_%.o $(support_obj) $(O)/libhvrun.a
	@mkdir -p $(@D)
	$(CC) $(FUZZ_LINK) -o $@ $^ $(test_libs)

$(addprefix fuzz-,$(fuzz_names)): fuzz-%: fuzz-build
	@mkdir -p $(O)/fuzz/corpus/$* $(O)/fuzz/faults/$*
	$(O)/fuzz/fuzzers/$* -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -timeout=20 \
		-artifact_prefix=$(O)/fuzz/faults/$*/ -print_final_stats=1 \
		$(O)/fuzz/corpus/$* tests/fuzz/corpus/$*

fuzz: $(addprefix fuzz-,$(fuzz_names))

fuzz-coverage:
	$(MAKE) --no-print-directory O=$(O)/fuzz-coverage CC=clang SAN=fuzzer-no-link \
		OPT='-O1 -fprofile-instr-generate -fcoverage-mapping' \
		FUZZ_LINK='-fsanitize=fuzzer -fprofile-instr-generate' \
		$(addprefix $(O)/fuzz-coverage/fuzzers/,$(fuzz_names))
	tests/fuzz/coverage $(O) $(fuzz_names)
