/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few I/O ports that answer: a serial port that only sends (`earlycon=uart8250,io,0x3f8`), the
 * reset line of the keyboard controller, and ACPI's sleep registers. All others read as ones and
 * take what is written.
 */
#include "microvm/kvm/vm.h"

#include <string.h>

#include "microvm/boot/x86_layout.h"

#define UART_DATA     (X86_PORT_SERIAL + 0)
#define UART_LCR      (X86_PORT_SERIAL + 3)
#define UART_LSR      (X86_PORT_SERIAL + 5)
#define UART_LSR_IDLE 0x60 /* transmitter and its register empty, nothing received */

/*
 * The keyboard controller's status. Not busy, so that a kernel that resets through it does not
 * wait; but always with a byte to read, which makes a driver that looks for the controller give up
 * at once instead of waiting for answers.
 */
#define I8042_STATUS	0xfd
#define I8042_CMD_RESET 0xfe

#define SLEEP_ENABLE	 (1u << 5)
#define SLEEP_TYPE_SHIFT 2

static void serial_out(struct vcpu *vcpu, uint8_t byte)
{
	struct engine *engine = vcpu->engine;

	pthread_mutex_lock(&engine->lock);
	if (engine->config.console && !engine->has_ended)
		engine->config.console(engine->config.arg, &byte, 1);
	pthread_mutex_unlock(&engine->lock);
}

static void port_out(struct vcpu *vcpu, uint16_t port, uint8_t value)
{
	if (port >= X86_PORT_SERIAL && port < X86_PORT_SERIAL + 8) {
		vcpu->exits[VM_EXIT_SERIAL]++;
		if (port == UART_DATA && !vcpu->engine->arch.uart_divisor)
			serial_out(vcpu, value);
		else if (port == UART_LCR)
			vcpu->engine->arch.uart_divisor = value & 0x80;
		return;
	}
	vcpu->exits[VM_EXIT_PORT]++;
	if (port == X86_PORT_I8042 && value == I8042_CMD_RESET)
		vm_end(vcpu->engine, ENGINE_END_RESET, "%s", "");
	else if (port == X86_PORT_SLEEP_CONTROL &&
		value == (SLEEP_ENABLE | X86_SLEEP_TYPE_S5 << SLEEP_TYPE_SHIFT))
		vm_end(vcpu->engine, ENGINE_END_SHUTDOWN, "%s", "");
}

static void port_in(struct vcpu *vcpu, uint16_t port, void *dst, unsigned len)
{
	uint8_t *value = dst;

	memset(dst, 0xff, len);
	vcpu->exits[port >= X86_PORT_SERIAL && port < X86_PORT_SERIAL + 8 ? VM_EXIT_SERIAL
									  : VM_EXIT_PORT]++;
	switch (port) {
	case UART_LSR:
		*value = UART_LSR_IDLE;
		break;
	case X86_PORT_I8042:
		*value = I8042_STATUS;
		break;
	case X86_PORT_SLEEP_CONTROL:
	case X86_PORT_SLEEP_STATUS:
		*value = 0;
		break;
	}
}

/* `rep outs` brings several accesses in one exit. Our ports are bytes: only the low one counts. */
void x86_ports_access(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			port_out(vcpu, run->io.port, *data);
		else
			port_in(vcpu, run->io.port, data, run->io.size);
	}
}
