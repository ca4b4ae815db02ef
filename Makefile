# SPDX-License-Identifier: Apache-2.0
# hvrun: `make` builds the programs under build/, `make check` tests them. See docs/testing.md.

O	?= build
PREFIX	?= /usr/local
DESTDIR	?=
CC	?= gcc
PKG	?= pkg-config
VERSION	:= 0.1.0

# `make V=1` shows the commands whole.
V	?= 0
Q	:= $(if $(filter 0,$(V)),@)
say	= $(if $(filter 0,$(V)),@printf '  %-5s %s\n' '$(1)' '$(2)')

# SAN=address,undefined or SAN=thread builds with sanitizers; give it an O= of its own.
SAN	?=
OPT	?= -O2
WARN	:= -Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes -Wstrict-prototypes -Wformat=2 \
	   -Wconversion -Wpointer-arith -Wundef -Werror=implicit-function-declaration \
	   -Werror=incompatible-pointer-types
HARDEN	:= -fstack-protector-strong -fcf-protection=full -fPIE -fno-strict-aliasing
ifeq ($(SAN),)
HARDEN	+= -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
else
SANFLAGS := -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer -g
OPT	:= -O1
endif
CPPFLAGS += -I. -I$(O)/gen -D_GNU_SOURCE -DHVRUN_VERSION='"$(VERSION)"'
CFLAGS	+= -std=gnu17 $(OPT) -g $(WARN) $(HARDEN) $(SANFLAGS) -MMD -MP
LDFLAGS	+= -pie -Wl,-z,relro,-z,now,-z,noexecstack $(SANFLAGS)
LDFLAGS_STATIC := -static-pie -Wl,-z,relro,-z,now,-z,noexecstack

base_src	:= $(wildcard base/*.c)
oci_src		:= $(wildcard oci/*.c)
runtime_src	:= $(wildcard runtime/*.c)
virtio_src	:= $(wildcard microvm/memory/*.c microvm/virtio/*.c)
devices_src	:= $(wildcard microvm/devices/*.c)
vhost_src	:= $(wildcard microvm/vhost/*.c)
vmm_src		:= $(wildcard microvm/vmm/*.c microvm/kvm/*.c microvm/boot/*.c microvm/emulation/*.c)
fs_src		:= $(wildcard microvm/fs/*.c)
confine_src	:= $(wildcard microvm/confine/*.c)
guestinit_src	:= $(wildcard guestinit/*.c)

obj		= $(patsubst %.c,$(O)/obj/%.o,$(1))
programs	:= $(O)/hvrun $(O)/hvrun-vmm $(O)/hvrun-fs $(O)/guestinit

.PHONY: all
all: $(programs)

$(O)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# The guest's program is static and never built with sanitizers. guestinit.debug is the same with
# names and lines, for a debugger and for the test that looks at how it was compiled.
$(O)/static/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$< (static))
	$(Q)$(CC) $(CPPFLAGS) $(filter-out $(SANFLAGS),$(CFLAGS)) -c -o $@ $<

# The names of system calls, by number.
$(O)/gen/syscall_names.h: Makefile
	@mkdir -p $(@D)
	$(Q)echo '#include <sys/syscall.h>' | $(CC) -E -dM - | sed -nE \
		's/^#define __NR_([a-z0-9_]+) ([0-9]+)$$/[\2] = "\1",/p' | sort >$@
$(O)/obj/microvm/confine/filter_print.o: $(O)/gen/syscall_names.h

# The kernel's command line is part of the program.
$(O)/obj/runtime/guestkernel.o: kernel-config/cmdline

$(O)/hvrun: $(call obj,$(runtime_src) $(oci_src) $(base_src))
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -ljansson -lmnl
vmm_obj	:= $(call obj,$(vmm_src) $(devices_src) $(vhost_src) $(virtio_src) $(confine_src) $(base_src))
$(O)/hvrun-vmm: $(vmm_obj)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -ljansson -lpthread
fs_obj	:= $(call obj,$(fs_src) $(vhost_src) $(virtio_src) \
	$(addprefix microvm/confine/,filter.c filter_print.c landlock.c) $(base_src))
$(O)/hvrun-fs: $(fs_obj)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -ljansson -lcap -lpthread
$(O)/guestinit.debug: $(patsubst %.c,$(O)/static/%.o,$(guestinit_src) $(base_src))
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_STATIC) -o $@ $^ -lseccomp -ljansson
$(O)/guestinit: $(O)/guestinit.debug
	$(call say,STRIP,$@)
	$(Q)strip -o $@ $<

include mk/test.mk mk/fuzz.mk mk/lint.mk mk/install.mk mk/bench.mk

-include $(shell find $(O) -name '*.d' 2>/dev/null)
