/* SPDX-License-Identifier: Apache-2.0 */
/* The hostile guest's machine; see guest.h. */
#include "tests/hostile/guest.h"

#define SERIAL_PORT	 0x3f8
#define LAPIC_GPA	 0xfee00000ull
#define LAPIC_ICR_LOW	 (LAPIC_GPA + 0x300)
#define LAPIC_ICR_HIGH	 (LAPIC_GPA + 0x310)
#define LAPIC_SPURIOUS	 (LAPIC_GPA + 0xf0)
#define ICR_INIT_OTHERS	 0x000c4500u
#define ICR_START_OTHERS 0x000c4600u
#define SECOND_START_GPA 0x10000ull

/* Of Linux's boot parameters (the zero page) and of PVH's start info, what is used here. */
#define ZERO_PAGE_CMDLINE      0x228
#define ZERO_PAGE_E820_ENTRIES 0x1e8
#define ZERO_PAGE_E820	       0x2d0
#define E820_ENTRY_BYTES       20
#define PVH_CMDLINE	       24
#define PVH_MEMMAP	       40
#define PVH_MEMMAP_ENTRIES     48
#define PVH_ENTRY_BYTES	       24

struct machine machine;

void *memcpy(void *dst, const void *src, size_t n)
{
	void *to = dst;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(src), "+c"(n) : : "memory");
	return dst;
}

void *memset(void *dst, int byte, size_t n)
{
	void *to = dst;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(byte) : "memory");
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

void print(const char *text)
{
	for (; *text; text++)
		out8(SERIAL_PORT, (uint8_t)*text);
}

void print_number(uint64_t number)
{
	char digits[21];
	unsigned at = sizeof(digits) - 1;

	digits[at] = '\0';
	do
		digits[--at] = (char)('0' + number % 10);
	while (number /= 10);
	print(digits + at);
}

/* splitmix64 */
uint64_t random_next(struct random *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint32_t random_below(struct random *r, uint32_t n)
{
	return (uint32_t)((random_next(r) >> 32) * n >> 32);
}

uint64_t random_number(struct random *r)
{
	uint64_t any = random_next(r);

	switch (random_below(r, 8)) {
	case 0:
		return any % 4;
	case 1:
		return any % 64;
	case 2:
		return any % 5000;
	case 3:
		return (1ull << any % 64) - 1 + (any >> 8) % 3;
	case 4:
		return 0 - any % 5000;
	case 5:
		return (uint32_t)(0 - (uint32_t)(any % 64));
	case 6:
		return (uint32_t)any;
	default:
		return any;
	}
}

void write_wide(uint64_t gpa, uint64_t value, unsigned width)
{
	switch (width) {
	case 1:
		__asm__ volatile("movb %b0, (%1)" : : "a"(value), "r"(gpa) : "memory");
		break;
	case 2:
		__asm__ volatile("movw %w0, (%1)" : : "a"(value), "r"(gpa) : "memory");
		break;
	case 8:
		__asm__ volatile("movq %0, (%1)" : : "a"(value), "r"(gpa) : "memory");
		break;
	default:
		write32(gpa, (uint32_t)value);
	}
}

uint64_t read_wide(uint64_t gpa, unsigned width)
{
	uint64_t value = 0;

	switch (width) {
	case 1:
		__asm__ volatile("movb (%1), %b0" : "=a"(value) : "r"(gpa) : "memory");
		break;
	case 2:
		__asm__ volatile("movw (%1), %w0" : "=a"(value) : "r"(gpa) : "memory");
		break;
	case 8:
		__asm__ volatile("movq (%1), %0" : "=a"(value) : "r"(gpa) : "memory");
		break;
	default:
		value = read32(gpa);
	}
	return value;
}

static const char *after(const char *at, const char *word)
{
	while (*word)
		if (*at++ != *word++)
			return NULL;
	return at;
}

static uint64_t number(const char **at)
{
	uint64_t value = 0;
	unsigned base = 10;

	if ((*at)[0] == '0' && (*at)[1] == 'x') {
		base = 16;
		*at += 2;
	}
	for (;; (*at)++) {
		char c = **at;
		if (c >= '0' && c <= '9')
			value = value * base + (uint64_t)(c - '0');
		else if (base == 16 && c >= 'a' && c <= 'f')
			value = value * base + (uint64_t)(c - 'a') + 10;
		else
			return value;
	}
}

/* virtio_mmio.device=SIZE@BASE:IRQ, hostile.seed=N, .operations=N, .kinds=N, .machine, .agent,
 * .rings, .second */
static void word(struct machine *m, const char *at)
{
	const char *value;

	if ((value = after(at, "virtio_mmio.device="))) {
		while (*value && *value != '@')
			value++;
		if (*value++ == '@' && m->n_devices < DEVICES_MAX)
			m->device_gpa[m->n_devices++] = number(&value);
	} else if ((value = after(at, "hostile.seed="))) {
		m->seed = number(&value);
	} else if ((value = after(at, "hostile.operations="))) {
		m->operations = number(&value);
	} else if ((value = after(at, "hostile.kinds="))) {
		m->kinds = (uint32_t)number(&value);
	} else if (after(at, "hostile.machine")) {
		m->machine_too = true;
	} else if (after(at, "hostile.agent")) {
		m->agent = true;
	} else if (after(at, "hostile.rings")) {
		m->sane_rings = true;
	} else if (after(at, "hostile.second")) {
		m->second = true;
	}
}

static void add_ram(struct machine *m, uint64_t gpa, uint64_t len, uint32_t type)
{
	unsigned above = gpa >> 32 ? 1 : 0;

	if (type == 1 && gpa + len > m->ram_end_gpa[above])
		m->ram_end_gpa[above] = gpa + len;
}

void machine_init(struct machine *m, unsigned how, const void *params)
{
	const uint8_t *p = params;
	const char *cmdline;
	uint64_t entries = 0, n, bytes;

	if (how == 0) {
		uint32_t at;
		memcpy(&at, p + ZERO_PAGE_CMDLINE, sizeof(at));
		cmdline = (const char *)(uintptr_t)at;
		n = p[ZERO_PAGE_E820_ENTRIES];
		entries = (uintptr_t)p + ZERO_PAGE_E820;
		bytes = E820_ENTRY_BYTES;
	} else {
		uint32_t count;
		memcpy(&cmdline, p + PVH_CMDLINE, sizeof(cmdline));
		memcpy(&entries, p + PVH_MEMMAP, sizeof(entries));
		memcpy(&count, p + PVH_MEMMAP_ENTRIES, sizeof(count));
		n = count;
		bytes = PVH_ENTRY_BYTES;
	}
	for (uint64_t i = 0; i < n; i++) {
		uint64_t gpa, len;
		uint32_t type;
		memcpy(&gpa, (const void *)(entries + i * bytes), sizeof(gpa));
		memcpy(&len, (const void *)(entries + i * bytes + 8), sizeof(len));
		memcpy(&type, (const void *)(entries + i * bytes + 16), sizeof(type));
		add_ram(m, gpa, len, type);
	}
	m->operations = 1000;
	m->kinds = UINT32_MAX;
	for (const char *at = cmdline; *at; at++)
		if (at == cmdline || at[-1] == ' ')
			word(m, at);
}

extern const char ap_code[], ap_code_end[];

void machine_start_second(void)
{
	memcpy((void *)SECOND_START_GPA, ap_code, (size_t)(ap_code_end - ap_code));
	write32(LAPIC_SPURIOUS, 0x1ff);
	write32(LAPIC_ICR_HIGH, 0);
	write32(LAPIC_ICR_LOW, ICR_INIT_OTHERS);
	for (unsigned i = 0; i < 1000; i++)
		(void)in8(0x80);
	write32(LAPIC_ICR_LOW, ICR_START_OTHERS | (SECOND_START_GPA >> 12));
}

/* A triple fault, which every engine takes for a reset. */
void machine_end(void)
{
	const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = {0};

	for (;;)
		__asm__ volatile("lidt %0; int3" : : "m"(none));
}
