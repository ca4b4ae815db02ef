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
# A guest without a system, for the bare machine: nothing but its own code, and no SSE.
$(O)/tests/hostile: $(wildcard tests/hostile/*.[chS]) tests/hostile/guest.lds
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -I. -std=gnu17 -O2 -g $(WARN) -ffreestanding -nostdlib -static -fno-pie -no-pie \
		-mno-red-zone -mgeneral-regs-only -fno-stack-protector -fcf-protection=none \
		-fno-asynchronous-unwind-tables -Wl,--build-id=none -Wl,-z,max-page-size=4096 \
		-Wl,--no-warn-rwx-segments -Wl,-T,tests/hostile/guest.lds -o $@ $(filter %.c %.S,$^)
e2e_helpers	:= $(O)/tests/terminal $(O)/tests/fsexercise $(O)/tests/thrash $(O)/tests/streams $(O)/tests/hostile

# $(call beside,FOLDER): what hvrun wants to have beside it, in a folder with other hvrun-vmm and hvrun-fs.
define beside
$(O)/$(1)/hvrun $(O)/$(1)/guestinit: $(O)/$(1)/%: $(O)/%
	@mkdir -p $$(@D)
	$$(Q)cp $$< $$@
$(O)/$(1)/vmlinux: kernel
	@mkdir -p $$(@D)
	$$(Q)ln -sfn ../vmlinux $$@
endef

# hvrun-vmm and hvrun-fs as attackers (tests/attack), for 98_escape.bats: of the same object files as
# the programs that are installed, and of what the linker puts between them.
attack_obj	:= $(call obj,$(wildcard tests/attack/attack.c tests/attack/attempts_*.c))
wrap		= $(patsubst %,-Wl$(comma)--wrap=%,$(1))
comma		:= ,
$(O)/attack/hvrun-vmm: $(vmm_obj) $(attack_obj) $(O)/obj/tests/attack/vmm.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $(call wrap,plan_close_boot machine_start machine_launch \
		relay_helper_start resolver_start filter_install) -o $@ $^ -ljansson -lpthread
$(O)/attack/hvrun-fs: $(fs_obj) $(attack_obj) $(O)/obj/tests/attack/fs.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $(call wrap,fs_config_read fs_sandbox_enter loop_add filter_install) \
		-o $@ $^ -ljansson -lcap -lpthread
$(eval $(call beside,attack))
e2e_helpers	+= $(addprefix $(O)/attack/,hvrun hvrun-vmm hvrun-fs guestinit vmlinux)

.SECONDARY:
.PHONY: unit-tests check check-unit check-emulation check-kvm check-kvmbox check-callers check-callers-kvm
.PHONY: sanitized hostile
unit-tests: $(unit_tests) $(fuzz_replays)

# All processors, where make was not told how many.
jobs		= $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

# Unit tests and corpora run under AddressSanitizer and UndefinedBehaviorSanitizer.
check-unit:
	$(MAKE) $(jobs) O=$(O)/asan SAN=address,undefined unit-tests
	tests/unit/run $(O)/asan/tests

# The programs with sanitizers, for 99_hostile_guest.bats.
sanitized:
	$(MAKE) $(jobs) --no-print-directory O=$(O)/asan SAN=address,undefined all

# A hostile guest at each device for HOSTILE_SECONDS, on KVM (in kvmbox where there is none).
HOSTILE_SECONDS	?= 600
HOSTILE_ENGINE	?= kvm
hostile: all kernel sanitized $(e2e_helpers)
	O=$(O) tests/hostile/long $(HOSTILE_ENGINE) $(HOSTILE_SECONDS)

check-emulation: all kernel sanitized $(e2e_helpers)
	O=$(O) tests/e2e/run emulation

check-kvm: all kernel sanitized $(e2e_helpers)
	O=$(O) tests/e2e/run kvm

# The callers of a runtime: podman, containerd, dockerd.
check-callers: all kernel $(e2e_helpers)
	O=$(O) tests/compat/run emulation

check-callers-kvm: all kernel $(e2e_helpers)
	O=$(O) tests/compat/run kvm

check-kvmbox:
	bats tests/kvmbox

check: all kernel sanitized $(e2e_helpers)
	O=$(O) tests/check
