/* SPDX-License-Identifier: Apache-2.0 */
/* MP table; see mptable.h. Section numbers are those of the MultiProcessor Specification 1.4. */
#include "microvm/boot/mptable.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "microvm/boot/x86_layout.h"

enum mp_entry_type { MP_PROCESSOR, MP_BUS, MP_IOAPIC, MP_INTERRUPT, MP_LOCAL_INTERRUPT };
enum mp_interrupt_type { MP_INT, MP_NMI, MP_SMI, MP_EXTINT };

#define MP_APIC_VERSION 0x14
#define MP_EDGE_HIGH	0x5 /* trigger mode edge, polarity active high */
#define MP_ALL_CPUS	0xff

struct mp_pointer { /* 4.1 */
	char signature[4];
	uint32_t config_gpa;
	uint8_t paragraphs, revision, checksum, features[5];
} __attribute__((packed));

struct mp_config { /* 4.2 */
	char signature[4];
	uint16_t len_bytes;
	uint8_t revision, checksum;
	char oem[8], product[12];
	uint32_t oem_table;
	uint16_t oem_bytes, n_entries;
	uint32_t lapic_gpa;
	uint16_t extended_bytes;
	uint8_t extended_checksum, reserved;
} __attribute__((packed));

struct mp_processor { /* 4.3.1 */
	uint8_t type, apic_id, apic_version, flags;
	uint32_t signature, features, reserved[2];
} __attribute__((packed));

struct mp_bus { /* 4.3.2 */
	uint8_t type, id;
	char name[6];
} __attribute__((packed));

struct mp_ioapic { /* 4.3.3 */
	uint8_t type, id, version, flags;
	uint32_t gpa;
} __attribute__((packed));

struct mp_interrupt { /* 4.3.4, 4.3.5 */
	uint8_t type, interrupt;
	uint16_t flags;
	uint8_t bus, bus_irq, destination, pin;
} __attribute__((packed));

struct writer {
	uint8_t *at, *end;
	uint16_t n_entries;
	bool full;
};

static void writer_put(struct writer *w, const void *entry, size_t len_bytes)
{
	if ((size_t)(w->end - w->at) < len_bytes) {
		w->full = true;
		return;
	}
	memcpy(w->at, entry, len_bytes);
	w->at += len_bytes;
	w->n_entries++;
}

static uint8_t checksum(const void *table, size_t len_bytes)
{
	const uint8_t *p = table;
	uint8_t sum = 0;

	while (len_bytes--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

static void mptable_entries(struct writer *w, unsigned vcpus, unsigned n_devices)
{
	uint8_t ioapic_id = (uint8_t)vcpus;

	for (unsigned i = 0; i < vcpus; i++) {
		struct mp_processor cpu = {
			.type = MP_PROCESSOR,
			.apic_id = (uint8_t)i,
			.apic_version = MP_APIC_VERSION,
			.flags = i ? 1 : 3, /* enabled; the first boots */
			.signature = 0x600,
			.features = 0x201, /* FPU, APIC */
		};
		writer_put(w, &cpu, sizeof(cpu));
	}
	struct mp_bus bus = {.type = MP_BUS, .name = {'I', 'S', 'A', ' ', ' ', ' '}};
	writer_put(w, &bus, sizeof(bus));
	struct mp_ioapic ioapic = {.type = MP_IOAPIC,
		.id = ioapic_id,
		.version = 0x11,
		.flags = 1,
		.gpa = X86_IOAPIC_GPA};
	writer_put(w, &ioapic, sizeof(ioapic));
	/* Pins above 15 have no ISA line in hardware, but kernels take them so. */
	for (unsigned pin = X86_IRQ_FIRST; pin < X86_IRQ_PINS(n_devices); pin++) {
		struct mp_interrupt irq = {.type = MP_INTERRUPT,
			.interrupt = MP_INT,
			.flags = MP_EDGE_HIGH,
			.bus_irq = (uint8_t)pin,
			.destination = ioapic_id,
			.pin = (uint8_t)pin};
		writer_put(w, &irq, sizeof(irq));
	}
	struct mp_interrupt extint = {
		.type = MP_LOCAL_INTERRUPT, .interrupt = MP_EXTINT, .destination = 0, .pin = 0};
	writer_put(w, &extint, sizeof(extint));
	struct mp_interrupt nmi = {.type = MP_LOCAL_INTERRUPT,
		.interrupt = MP_NMI,
		.destination = MP_ALL_CPUS,
		.pin = 1};
	writer_put(w, &nmi, sizeof(nmi));
}

int mptable_write(
	const struct guest_memory *memory, unsigned vcpus, unsigned n_devices, struct err *e)
{
	const size_t room = X86_MP_POINTER_GPA - X86_MP_CONFIG_GPA;
	uint8_t *base = guest_memory_at(memory, X86_MP_CONFIG_GPA, room);
	struct mp_pointer *pointer =
		guest_memory_at(memory, X86_MP_POINTER_GPA, sizeof(struct mp_pointer));
	struct mp_config config = {
		.signature = {'P', 'C', 'M', 'P'},
		.revision = 4,
		.oem = {'H', 'V', 'R', 'U', 'N', ' ', ' ', ' '},
		.product = {'M', 'I', 'C', 'R', 'O', 'V', 'M', ' ', ' ', ' ', ' ', ' '},
		.lapic_gpa = X86_LAPIC_GPA,
	};

	if (!base || !pointer)
		return err_set(e, ENOMEM, "MP table: no low memory");
	struct writer w = {.at = base + sizeof(config), .end = base + room};
	mptable_entries(&w, vcpus, n_devices);
	if (w.full)
		return err_set(e, E2BIG, "MP table: too many vCPUs (%u) or devices (%u)", vcpus,
			n_devices);
	config.len_bytes = (uint16_t)(w.at - base);
	config.n_entries = w.n_entries;
	memcpy(base, &config, sizeof(config));
	config.checksum = checksum(base, config.len_bytes);
	memcpy(base, &config, sizeof(config));

	*pointer = (struct mp_pointer){
		.signature = {'_', 'M', 'P', '_'},
		.config_gpa = X86_MP_CONFIG_GPA,
		.paragraphs = 1,
		.revision = 4,
	};
	pointer->checksum = checksum(pointer, sizeof(*pointer));
	return 0;
}
