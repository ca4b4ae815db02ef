/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the hostile guest does; see guest.h. In each round one device is started in some way and
 * misused for a while; a second processor meanwhile changes rings under its hands, and registers.
 * The last line printed says how many operations there were; then the machine resets itself.
 */
#include "tests/hostile/guest.h"

#define OPERATIONS_MAX 400 /* of a round */
#define STUCK_MAX      3   /* operations without an answer: the device has given up */

static struct device devices[DEVICES_MAX];
static unsigned n_devices, n_attacked;
static struct device *volatile target;
static uint64_t operations, rounds, breaks, served;

void guest_main(unsigned how, const void *params);
void guest_second(void);

static void machine_poke(struct random *r)
{
	static const uint16_t ports[] = {0x3f9, 0x3fb, 0x3fd, 0x60, 0x64, 0x70, 0x71, 0x80, 0xcf8,
		0xcfc, 0x600, 0x601, 0x602};
	uint64_t ioapic = 0xfec00000;
	uint16_t port = ports[random_below(r, sizeof(ports) / sizeof(ports[0]))];
	uint8_t value = (uint8_t)random_next(r);

	switch (random_below(r, 4)) {
	case 0: /* a pin that delivers anything anywhere would end this processor */
		write32(ioapic, 0x10 + random_below(r, 64));
		write32(ioapic + 0x10, (uint32_t)random_number(r) | 0x10000);
		break;
	case 1:
		write_wide(ioapic + random_below(r, 0x40), 0x10000 | random_number(r),
			1u << random_below(r, 4));
		write32(ioapic, 0);
		break;
	case 2:
		(void)in8(port);
		break;
	default: /* not the reset, and not the sleep, which are the guest's to ask for */
		if ((port == 0x64 && value == 0xfe) || port == 0x600)
			value = 0;
		out8(port, value);
		out8(0x3fb, 3); /* what is printed shall be seen */
	}
}

/* False when the device does not answer. */
static bool attack(struct device *d, struct random *r, enum evil evil)
{
	struct chain c;
	unsigned queue = random_below(r, d->n_queues ? d->n_queues : 1);
	bool answers = true;

	if (request_is_kept(d, queue) && !one_in(r, 4))
		queue = random_below(r, d->n_queues);

	switch (random_below(r, 16)) {
	case 0:
		if (evil != TAME)
			device_poke(d, r);
		break;
	case 1:
		if (evil == WILD)
			ring_scribble(d, r);
		break;
	case 2:
		device_kick(d, one_in(r, 2) ? queue : (uint32_t)random_number(r));
		break;
	case 3:
		answers = ring_wait(d, queue);
		break;
	default:
		for (unsigned i = one_in(r, 4) ? 1 + random_below(r, 16) : 1; i; i--) {
			request_make(d, queue, &c, r);
			if (!ring_add(d, queue, &c, r, evil))
				break;
			operations++;
		}
		device_kick(d, queue);
		if (!one_in(r, 4))
			answers = ring_wait(d, queue);
	}
	operations++;
	return answers || request_is_kept(d, queue);
}

static void play_round(struct random *r)
{
	struct device *d = &devices[random_below(r, n_devices)];
	enum evil evil = random_below(r, 3);
	unsigned stuck = 0;

	if (!(machine.kinds & 1u << d->id))
		return;
	rounds++;
	target = d;
	device_start(d, r, evil == WILD && one_in(r, 2) ? SLY : evil);
	request_begin(d, r);
	for (unsigned i = random_below(r, OPERATIONS_MAX); i; i--) {
		stuck = attack(d, r, evil) ? 0 : stuck + 1;
		if (machine.machine_too && one_in(r, 32))
			machine_poke(r);
		if (device_is_broken(d)) {
			breaks++;
			break;
		}
		if (stuck == STUCK_MAX)
			break;
	}
	served += rings_served(d);
	/* In flight, or with nothing in flight. */
	if (one_in(r, 2))
		device_reset(d);
}

void guest_second(void)
{
	struct random r = {machine.seed ^ 0x5eed};

	for (;;) {
		struct device *d = target;
		if (!d)
			continue;
		if (one_in(&r, 64))
			device_kick(d, random_below(&r, d->n_queues + 1));
		else if (one_in(&r, 2000))
			device_poke(d, &r);
		else if (one_in(&r, 4))
			ring_scribble(d, &r);
		for (unsigned i = random_below(&r, 2000); i; i--)
			__asm__ volatile("pause");
	}
}

void guest_main(unsigned how, const void *params)
{
	struct random r;

	machine_init(&machine, how, params);
	r.state = machine.seed;
	for (unsigned i = 0; i < machine.n_devices; i++) {
		device_find(&devices[n_devices], machine.device_gpa[i]);
		if (devices[n_devices].id)
			n_attacked += (machine.kinds >> devices[n_devices++].id) & 1;
	}
	print("hostile: seed ");
	print_number(machine.seed);
	print(", devices ");
	print_number(n_attacked);
	print("\n");
	if (machine.second)
		machine_start_second();
	while (n_attacked && operations < machine.operations)
		play_round(&r);
	target = NULL;
	print("\nhostile: ");
	print_number(operations);
	print(" operations, ");
	print_number(rounds);
	print(" rounds, ");
	print_number(breaks);
	print(" broken, ");
	print_number(served);
	print(" served\n");
	machine_end();
}
