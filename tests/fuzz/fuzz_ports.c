/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU's exits for I/O ports: any port, width, direction and count (`rep ins`, `rep outs`), with
 * the data where KVM puts it and not a byte of room behind. The input is steps of six bytes (flags,
 * count, port, two bytes that the data repeat). The VM ends by its reset and sleep registers only,
 * and says nothing afterwards.
 *
 * Covers: microvm/kvm/x86_ports.c
 */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "microvm/boot/x86_layout.h"
#include "microvm/kvm/vm.h"
#include "microvm/kvm/x86_machine.h"
#include "tests/unit/support/fuzz_script.h"

#define PAGE_BYTES  4096u
#define STEPS_MAX   256
#define CANARY_PORT 0x80u /* nothing is there */

enum { FLAG_IN = 1, FLAG_KNOWN = 2, FLAG_WHOLE_PAGE = 4, FLAG_SIZE_SHIFT = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_console(void *arg, const void *bytes, size_t len_bytes)
{
	const struct engine *engine = arg;

	(void)bytes;
	if (len_bytes != 1 || engine->has_ended)
		abort();
}

static bool may_end(const struct kvm_run *run)
{
	return run->io.direction == KVM_EXIT_IO_OUT &&
		(run->io.port == X86_PORT_I8042 || run->io.port == X86_PORT_SLEEP_CONTROL);
}

/* What is read is the port's byte, or ones, and ones in all bytes above. */
static void check_read(const struct kvm_run *run, const uint8_t *bytes)
{
	for (uint32_t i = 0; i < run->io.count; i++)
		for (uint32_t k = 0; k < run->io.size; k++)
			if (bytes[i * run->io.size + k] != 0xff &&
				(k || run->io.port == CANARY_PORT))
				abort();
}

static void step(struct vcpu *vcpu, struct fuzz_input *in)
{
	static const uint16_t known[] = {X86_PORT_SERIAL, X86_PORT_SERIAL + 3, X86_PORT_SERIAL + 5,
		X86_PORT_SERIAL + 7, X86_PORT_SERIAL + 8, X86_PORT_I8042, X86_PORT_SLEEP_CONTROL,
		X86_PORT_SLEEP_STATUS, CANARY_PORT};
	uint8_t flags = fuzz_u8(in), count = fuzz_u8(in);
	uint16_t port = fuzz_u16(in), value = fuzz_u16(in);
	uint32_t width = 1u << (flags >> FLAG_SIZE_SHIFT) % 3;
	/* KVM has a page for them. */
	uint32_t n = flags & FLAG_WHOLE_PAGE ? PAGE_BYTES / width : count;
	struct kvm_run *run = malloc(PAGE_BYTES + n * width);
	bool ended = vcpu->engine->has_ended;

	if (!run)
		abort();
	memset(run, 0, PAGE_BYTES);
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = flags & FLAG_IN ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = (uint8_t)width;
	run->io.port = flags & FLAG_KNOWN ? known[port % (sizeof(known) / sizeof(known[0]))] : port;
	run->io.count = n;
	run->io.data_offset = PAGE_BYTES;
	uint8_t *bytes = (uint8_t *)run + PAGE_BYTES;
	for (uint32_t i = 0; i < n * width; i++)
		bytes[i] = (uint8_t)(value >> i % 2 * 8);
	vcpu->run = run;
	x86_ports_access(vcpu);
	if (vcpu->engine->has_ended && !ended && !may_end(run))
		abort();
	if (flags & FLAG_IN)
		check_read(run, bytes);
	free(run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	static struct engine engine;
	struct vcpu vcpu = {.engine = &engine};

	memset(&engine, 0, sizeof(engine));
	engine.config.console = on_console;
	engine.config.arg = &engine;
	engine.ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (engine.ended_fd < 0 || pthread_mutex_init(&engine.lock, NULL))
		abort();
	for (unsigned i = 0; in.left && i < STEPS_MAX; i++)
		step(&vcpu, &in);
	pthread_mutex_destroy(&engine.lock);
	close(engine.ended_fd);
	return 0;
}
