/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI tables; see acpi.h. Section numbers are those of the ACPI Specification 6.5. */
#include "microvm/boot/acpi.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "microvm/boot/aml.h"
#include "microvm/boot/x86_layout.h"

struct acpi_rsdp { /* 5.2.5.3 */
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt_gpa, len_bytes;
	uint64_t xsdt_gpa;
	uint8_t extended_checksum, reserved[3];
} __attribute__((packed));

struct acpi_header { /* 5.2.6 */
	char signature[4];
	uint32_t len_bytes;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} __attribute__((packed));

struct acpi_xsdt { /* 5.2.8 */
	struct acpi_header header;
	uint64_t tables_gpa[2];
} __attribute__((packed));

struct acpi_address { /* 5.2.3.2 */
	uint8_t space, bits, offset, access_size;
	uint64_t address;
} __attribute__((packed));

#define ACPI_SPACE_IO 1

struct acpi_fadt { /* 5.2.9 */
	struct acpi_header header;
	uint8_t legacy[109 - 36]; /* all of it is about hardware that is not there */
	uint16_t boot_flags;
	uint8_t reserved;
	uint32_t flags;
	struct acpi_address reset_register;
	uint8_t reset_value;
	uint16_t arm_flags;
	uint8_t minor_version;
	uint64_t x_facs_gpa, x_dsdt_gpa;
	uint8_t x_legacy[244 - 148];
	struct acpi_address sleep_control, sleep_status;
	uint64_t hypervisor;
} __attribute__((packed));

_Static_assert(sizeof(struct acpi_fadt) == 276, "FADT revision 6");

#define FADT_DSDT_OFFSET    40 /* the 32-bit address, within legacy */
#define FADT_BOOT_NO_VGA    (1u << 2)
#define FADT_BOOT_NO_ASPM   (1u << 4)
#define FADT_BOOT_NO_RTC    (1u << 5)
#define FADT_WBINVD	    (1u << 0)
#define FADT_PWR_BUTTON	    (1u << 4) /* "not a fixed feature": there is none */
#define FADT_SLP_BUTTON	    (1u << 5)
#define FADT_RESET_REGISTER (1u << 10)
#define FADT_HW_REDUCED	    (1u << 20)

struct acpi_madt { /* 5.2.12 */
	struct acpi_header header;
	uint32_t lapic_gpa, flags;
} __attribute__((packed));

struct acpi_madt_lapic { /* 5.2.12.2 */
	uint8_t type, len_bytes, uid, apic_id;
	uint32_t flags;
} __attribute__((packed));

struct acpi_madt_ioapic { /* 5.2.12.3 */
	uint8_t type, len_bytes, id, reserved;
	uint32_t gpa, first_gsi;
} __attribute__((packed));

/* Tables go one behind the other, each from a 64-byte boundary. */
struct tables {
	uint8_t *base;
	size_t used_bytes, cap_bytes;
};

static uint8_t checksum(const void *table, size_t len_bytes)
{
	const uint8_t *p = table;
	uint8_t sum = 0;

	while (len_bytes--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

static void header_init(struct acpi_header *header, const char *signature, uint8_t revision)
{
	memset(header, 0, sizeof(*header));
	memcpy(header->signature, signature, 4);
	header->revision = revision;
	memcpy(header->oem, "HVRUN ", 6);
	memcpy(header->oem_table, "MICROVM ", 8);
	header->oem_revision = 1;
	memcpy(header->creator, "HVRN", 4);
	header->creator_revision = 1;
}

/* Completes a table of len bytes that begins with a header and adds it; its address, 0 if full. */
static uint64_t tables_add(struct tables *tables, void *table, size_t len_bytes)
{
	size_t at = (tables->used_bytes + 63) & ~(size_t)63;
	struct acpi_header *header = table;

	if (at > tables->cap_bytes || len_bytes > tables->cap_bytes - at)
		return 0;
	header->len_bytes = (uint32_t)len_bytes;
	header->checksum = 0;
	header->checksum = checksum(table, len_bytes);
	memcpy(tables->base + at, table, len_bytes);
	tables->used_bytes = at + len_bytes;
	return X86_ACPI_GPA + at;
}

static uint64_t madt_add(struct tables *tables, unsigned vcpus)
{
	uint8_t buf[sizeof(struct acpi_madt) + 256 * sizeof(struct acpi_madt_lapic) +
		sizeof(struct acpi_madt_ioapic)];
	struct acpi_madt madt = {.lapic_gpa = X86_LAPIC_GPA};
	size_t used = sizeof(madt);

	if (vcpus > 255)
		return 0;
	header_init(&madt.header, "APIC", 5);
	memcpy(buf, &madt, sizeof(madt));
	for (unsigned i = 0; i < vcpus; i++) {
		struct acpi_madt_lapic lapic = {.type = 0,
			.len_bytes = sizeof(lapic),
			.uid = (uint8_t)i,
			.apic_id = (uint8_t)i,
			.flags = 1};
		memcpy(buf + used, &lapic, sizeof(lapic));
		used += sizeof(lapic);
	}
	struct acpi_madt_ioapic ioapic = {.type = 1,
		.len_bytes = sizeof(ioapic),
		.id = (uint8_t)vcpus,
		.gpa = X86_IOAPIC_GPA};
	memcpy(buf + used, &ioapic, sizeof(ioapic));
	used += sizeof(ioapic);
	return tables_add(tables, buf, used);
}

/*
 * Device(VRxx): _HID LNRO0005, a page of registers, and one edge-triggered interrupt (virtio/mmio.c
 * says why edge).
 */
static void dsdt_device(struct aml *aml, unsigned slot)
{
	uint32_t gpa = (uint32_t)(X86_MMIO_GPA + slot * X86_MMIO_STRIDE);
	uint32_t len = (uint32_t)X86_MMIO_STRIDE, gsi = X86_IRQ_FIRST + slot;
	uint8_t crs[12 + 9 + 2] = {0x86, 9, 0, 1}; /* Memory32Fixed, read-write (6.4.3.4) */
	char name[5];

	memcpy(crs + 4, &gpa, 4);
	memcpy(crs + 8, &len, 4);
	/* Extended interrupt (6.4.3.6): consumer, edge, active high, exclusive; one number. */
	memcpy(crs + 12, (const uint8_t[]){0x89, 6, 0, 0x3, 1}, 5);
	memcpy(crs + 17, &gsi, 4);
	memcpy(crs + 21, (const uint8_t[]){0x79, 0}, 2); /* end tag; checksum 0 means none */

	snprintf(name, sizeof(name), "VR%02X", slot & 0xffu);
	size_t device = aml_device(aml, name);
	aml_name(aml, "_HID");
	aml_string(aml, "LNRO0005");
	aml_name(aml, "_UID");
	aml_integer(aml, slot);
	aml_name(aml, "_CCA");
	aml_integer(aml, 1);
	aml_name(aml, "_CRS");
	aml_buffer(aml, crs, sizeof(crs));
	aml_close(aml, device);
}

static uint64_t dsdt_add(struct tables *tables, unsigned n_devices)
{
	uint8_t buf[4096];
	struct acpi_header header;
	struct aml aml = {.buf = buf, .len_bytes = sizeof(header), .cap_bytes = sizeof(buf)};

	header_init(&header, "DSDT", 2);
	memcpy(buf, &header, sizeof(header));
	size_t scope = aml_scope(&aml, "_SB_");
	for (unsigned i = 0; i < n_devices; i++)
		dsdt_device(&aml, i);
	aml_close(&aml, scope);
	aml_name(&aml, "_S5_");
	size_t package = aml_package(&aml, 2);
	aml_integer(&aml, X86_SLEEP_TYPE_S5);
	aml_integer(&aml, 0);
	aml_close(&aml, package);
	return aml.full ? 0 : tables_add(tables, buf, aml.len_bytes);
}

static uint64_t fadt_add(struct tables *tables, uint64_t dsdt_gpa)
{
	struct acpi_fadt fadt = {
		.boot_flags = FADT_BOOT_NO_VGA | FADT_BOOT_NO_ASPM | FADT_BOOT_NO_RTC,
		.flags = FADT_WBINVD | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_RESET_REGISTER |
			FADT_HW_REDUCED,
		.reset_register = {ACPI_SPACE_IO, 8, 0, 1, X86_PORT_I8042},
		.reset_value = 0xfe,
		.minor_version = 5,
		.x_dsdt_gpa = dsdt_gpa,
		.sleep_control = {ACPI_SPACE_IO, 8, 0, 1, X86_PORT_SLEEP_CONTROL},
		.sleep_status = {ACPI_SPACE_IO, 8, 0, 1, X86_PORT_SLEEP_STATUS},
	};
	uint32_t dsdt32 = (uint32_t)dsdt_gpa;

	memcpy(&fadt.hypervisor, "hvrun\0\0", 8);
	header_init(&fadt.header, "FACP", 6);
	memcpy((uint8_t *)&fadt + FADT_DSDT_OFFSET, &dsdt32, sizeof(dsdt32));
	return tables_add(tables, &fadt, sizeof(fadt));
}

int acpi_write(const struct guest_memory *memory, unsigned vcpus, unsigned n_devices, struct err *e)
{
	struct tables tables = {
		.base = guest_memory_at(memory, X86_ACPI_GPA, X86_ACPI_BYTES),
		.used_bytes = sizeof(struct acpi_rsdp), /* comes first, filled in last */
		.cap_bytes = X86_ACPI_BYTES,
	};
	struct acpi_xsdt xsdt;

	if (!tables.base)
		return err_set(e, ENOMEM, "ACPI tables: no low memory");
	uint64_t dsdt_gpa = dsdt_add(&tables, n_devices);
	xsdt.tables_gpa[0] = dsdt_gpa ? fadt_add(&tables, dsdt_gpa) : 0;
	xsdt.tables_gpa[1] = madt_add(&tables, vcpus);
	header_init(&xsdt.header, "XSDT", 1);
	uint64_t xsdt_gpa = tables_add(&tables, &xsdt, sizeof(xsdt));
	if (!xsdt.tables_gpa[0] || !xsdt.tables_gpa[1] || !xsdt_gpa)
		return err_set(e, E2BIG, "ACPI tables: too many vCPUs (%u) or devices (%u)", vcpus,
			n_devices);

	struct acpi_rsdp rsdp = {
		.signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '},
		.oem = {'H', 'V', 'R', 'U', 'N', ' '},
		.revision = 2,
		.len_bytes = sizeof(rsdp),
		.xsdt_gpa = xsdt_gpa,
	};
	rsdp.checksum = checksum(&rsdp, 20); /* the part that ACPI 1.0 knew */
	rsdp.extended_checksum = checksum(&rsdp, sizeof(rsdp));
	memcpy(tables.base, &rsdp, sizeof(rsdp));
	return 0;
}
