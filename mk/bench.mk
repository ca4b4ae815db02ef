# SPDX-License-Identifier: Apache-2.0
# `make bench`: every benchmark in tests/bench, one after the other.

# hvrun-vmm and hvrun-fs without their confinement, for tests/bench/confinement: of the same object files as
# the programs that are installed, and of what the linker puts in the place of some functions.
unconfined_obj	:= $(call obj,tests/bench/unconfined.c)
$(O)/unconfined/hvrun-vmm: $(vmm_obj) $(unconfined_obj)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $(call wrap,filter_install root_own confine_descriptors confine_process \
		confine_loop) -o $@ $^ -ljansson -lpthread
$(O)/unconfined/hvrun-fs: $(fs_obj) $(unconfined_obj)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $(call wrap,fs_sandbox_export fs_sandbox_enter fs_sandbox_close) \
		-o $@ $^ -ljansson -lcap -lpthread
$(eval $(call beside,unconfined))

.PHONY: bench unconfined
unconfined: $(addprefix $(O)/unconfined/,hvrun hvrun-vmm hvrun-fs guestinit vmlinux)
bench: all kernel unconfined
	@for bench in $(wildcard tests/bench/*); do \
		[ -f $$bench ] && [ -x $$bench ] || continue; \
		echo "== $$bench"; O=$(O) $$bench || exit 1; \
	done
