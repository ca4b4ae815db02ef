# SPDX-License-Identifier: Apache-2.0
# Tests. `make check` is all of it; check-unit, check-emulation and check-kvm are its parts.
# Unit tests (cmocka) and fuzz targets link against every source but the main.c files.

test_libs	:= -lcmocka -ljansson -lseccomp -lcap -lmnl -lpthread
all_src		:= $(base_src) $(oci_src) $(runtime_src) $(virtio_src) $(devices_src) $(vhost_src) \
		   $(vmm_src) $(fs_src) $(confine_src) $(guestinit_src)
lib_src		:= $(filter-out %/main.c,$(all_src))
unit_src	:= $(wildcard tests/unit/test_*.c)
unit_tests	:= $(patsubst tests/unit/%.c,$(O)/tests/%,$(unit_src))
fuzz_src	:= $(wildcard tests/fuzz/fuzz_*.c)
fuzz_replays	:= $(patsubst tests/fuzz/%.c,$(O)/tests/%,$(fuzz_src))

$(O)/libhvrun.a: $(call obj,$(lib_src))
	@rm -f $@
	$(Q)$(AR) qcs $@ $^

# What unit tests and fuzzers share (fake transport, helpers): tests/unit/support/*.c
support_obj	:= $(call obj,$(wildcard tests/unit/support/*.c))

$(O)/tests/test_%: $(O)/obj/tests/unit/test_%.o $(support_obj) $(O)/libhvrun.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(test_libs)

# A fuzz target built with gcc replays its corpus (tests/fuzz/corpus/NAME/*), file by file.
$(O)/tests/fuzz_%: $(O)/obj/tests/fuzz/fuzz_%.o $(O)/obj/tests/fuzz/replay.o $(support_obj) $(O)/libhvrun.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(test_libs)

# The end-to-end tests' own programs: static, so that they run in any container.
e2e_src		:= $(wildcard tests/e2e/*.c) $(wildcard tests/e2e/fsexercise/*.c)
$(O)/tests/terminal: tests/e2e/terminal.c
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(CPPFLAGS) -std=gnu17 -O2 $(WARN) -static -o $@ $^ -lutil
$(O)/tests/fsexercise: $(wildcard tests/e2e/fsexercise/*.c)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(CPPFLAGS) -std=gnu17 -O2 $(WARN) -static -o $@ $^ -lpthread
$(O)/tests/thrash: tests/e2e/thrash.c
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(CPPFLAGS) -std=gnu17 -O2 $(WARN) -static -o $@ $^
$(O)/tests/streams: tests/e2e/streams.c
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(CPPFLAGS) -std=gnu17 -O2 $(WARN) -static -o $@ $^
e2e_helpers	:= $(O)/tests/terminal $(O)/tests/fsexercise $(O)/tests/thrash $(O)/tests/streams

# hvrun-vmm and hvrun-fs as attackers (tests/attack), for 98_escape.bats: of the same object files as
# the programs that are installed, and of what the linker puts between them. Beside them lies what
# hvrun wants to have beside it.
attack_obj	:= $(call obj,$(wildcard tests/attack/attack.c tests/attack/attempts_*.c))
wrap		= $(patsubst %,-Wl$(comma)--wrap=%,$(1))
comma		:= ,
$(O)/attack/hvrun-vmm: $(vmm_obj) $(attack_obj) $(O)/obj/tests/attack/vmm.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $(call wrap,plan_close_boot machine_start machine_launch \
		relay_helper_start filter_install) -o $@ $^ -ljansson -lpthread
$(O)/attack/hvrun-fs: $(fs_obj) $(attack_obj) $(O)/obj/tests/attack/fs.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $(call wrap,fs_config_read fs_sandbox_enter loop_add filter_install) \
		-o $@ $^ -ljansson -lcap -lpthread
$(O)/attack/hvrun $(O)/attack/guestinit: $(O)/attack/%: $(O)/%
	@mkdir -p $(@D)
	$(Q)cp $< $@
$(O)/attack/vmlinux: kernel
	@mkdir -p $(@D)
	$(Q)ln -sfn ../vmlinux $@
e2e_helpers	+= $(addprefix $(O)/attack/,hvrun hvrun-vmm hvrun-fs guestinit vmlinux)

.SECONDARY:
.PHONY: unit-tests check check-unit check-emulation check-kvm check-kvmbox check-callers check-callers-kvm
unit-tests: $(unit_tests) $(fuzz_replays)

# Unit tests and corpora run under AddressSanitizer and UndefinedBehaviorSanitizer.
check-unit:
	$(MAKE) O=$(O)/asan SAN=address,undefined unit-tests
	tests/unit/run $(O)/asan/tests

check-emulation: all kernel $(e2e_helpers)
	O=$(O) tests/e2e/run emulation

check-kvm: all kernel $(e2e_helpers)
	O=$(O) tests/e2e/run kvm

# The callers of a runtime: podman, containerd, dockerd.
check-callers: all kernel $(e2e_helpers)
	O=$(O) tests/compat/run emulation

check-callers-kvm: all kernel $(e2e_helpers)
	O=$(O) tests/compat/run kvm

check-kvmbox:
	bats tests/kvmbox

check: all kernel $(e2e_helpers)
	O=$(O) tests/check
