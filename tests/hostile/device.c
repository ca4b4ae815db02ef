/* SPDX-License-Identifier: Apache-2.0 */
/* One device of the hostile guest: registers, and how it is started; see guest.h. */
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>

#include "tests/hostile/guest.h"

#define DEVICE_BYTES 512u /* QEMU's distance from one device to the next */
#define STATUS_BEGUN (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)

static uint32_t get(const struct device *d, uint32_t reg)
{
	return read32(d->gpa + reg);
}

static void set(struct device *d, uint32_t reg, uint32_t value)
{
	write32(d->gpa + reg, value);
}

static void set64(struct device *d, uint32_t low, uint64_t value)
{
	set(d, low, (uint32_t)value);
	set(d, low + 4, (uint32_t)(value >> 32));
}

static uint64_t features(struct device *d)
{
	uint64_t value;

	set(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	value = (uint64_t)get(d, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
	set(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	return value | get(d, VIRTIO_MMIO_DEVICE_FEATURES);
}

void device_find(struct device *d, uint64_t gpa)
{
	memset(d, 0, sizeof(*d));
	d->gpa = gpa;
	d->id = get(d, VIRTIO_MMIO_DEVICE_ID);
	for (d->n_queues = 0; d->n_queues < QUEUES_MAX; d->n_queues++) {
		set(d, VIRTIO_MMIO_QUEUE_SEL, d->n_queues);
		if (!get(d, VIRTIO_MMIO_QUEUE_NUM_MAX))
			break;
	}
	d->offered = features(d);
}

void device_reset(struct device *d)
{
	set(d, VIRTIO_MMIO_STATUS, 0);
	for (unsigned i = 0; i < 1000 && get(d, VIRTIO_MMIO_STATUS); i++)
		;
	d->features = 0;
	memset(d->queues, 0, sizeof(d->queues));
}

uint64_t random_gpa(struct random *r, uint32_t len)
{
	uint64_t end = machine.ram_end_gpa[one_in(r, 2)];

	switch (random_below(r, 12)) {
	case 0:
		return end - random_below(r, 4096); /* straddles the end, or begins behind it */
	case 1:
		return end - len;
	case 2:
		return 0xc0000000ull - random_below(r, 8192) + random_below(r, 8192);
	case 3:
		return machine.device_gpa[random_below(r, machine.n_devices)] +
			random_below(r, 4096);
	case 4: {
		uint64_t any = random_number(r);
		return any < ARENA_GPA ? any + ARENA_GPA : any;
	}
	case 5:
		return 0 - (uint64_t)random_below(r, 1u << 20);
	case 6:
		return RINGS_GPA + random_below(r, QUEUES_MAX * RING_BYTES);
	default:
		return ARENA_GPA + random_below(r, ARENA_BYTES);
	}
}

/* Most that is offered, all of it, little of it, or what is not offered at all. */
static uint64_t choose_features(struct device *d, struct random *r, enum evil evil)
{
	uint64_t chosen = d->offered;

	if (one_in(r, 2))
		chosen &= random_next(r) | random_next(r);
	if (one_in(r, 8))
		chosen &= random_next(r) & random_next(r);
	chosen |= 1ull << VIRTIO_F_VERSION_1;
	if (evil == WILD && one_in(r, 8))
		chosen ^= 1ull << random_below(r, 64);
	return chosen;
}

static uint32_t choose_size(struct random *r, uint32_t max, enum evil evil)
{
	uint32_t size = max;

	if (max > RING_SIZE_MAX)
		size = max = RING_SIZE_MAX;
	if (one_in(r, 2))
		size = 1u << random_below(r, 11);
	if (evil == WILD && one_in(r, 8))
		return (uint32_t)random_number(r);
	return size <= max ? size : max;
}

static uint64_t choose_ring_gpa(struct random *r, uint64_t good, enum evil evil)
{
	if (evil == TAME || !one_in(r, evil == WILD ? 8 : 64))
		return good;
	if (one_in(r, 3))
		return good + random_below(r, 64);
	if (one_in(r, 2))
		return RINGS_GPA + 16ull * random_below(r, 0x10000); /* over other rings */
	return random_gpa(r, 4096);
}

static void queue_set_up(struct device *d, unsigned i, struct random *r, enum evil evil)
{
	struct queue *q = &d->queues[i];
	uint64_t base = RINGS_GPA + i * RING_BYTES;

	set(d, VIRTIO_MMIO_QUEUE_SEL, i);
	memset((void *)base, 0, RING_BYTES);
	uint32_t size = choose_size(r, get(d, VIRTIO_MMIO_QUEUE_NUM_MAX), evil);
	*q = (struct queue){
		.size = (uint16_t)(size && size <= RING_SIZE_MAX ? size : 16),
		.desc = choose_ring_gpa(r, base, evil),
		.avail_gpa = choose_ring_gpa(r, base + RING_AVAIL, evil),
		.used_gpa = choose_ring_gpa(r, base + RING_USED, evil),
	};
	set(d, VIRTIO_MMIO_QUEUE_NUM, size);
	set64(d, VIRTIO_MMIO_QUEUE_DESC_LOW, q->desc);
	set64(d, VIRTIO_MMIO_QUEUE_AVAIL_LOW, q->avail_gpa);
	set64(d, VIRTIO_MMIO_QUEUE_USED_LOW, q->used_gpa);
	set(d, VIRTIO_MMIO_QUEUE_READY, 1);
	/* What we write ourselves has to be memory of ours. */
	q->desc = base;
	q->avail_gpa = base + RING_AVAIL;
	q->used_gpa = base + RING_USED;
}

void device_start(struct device *d, struct random *r, enum evil evil)
{
	if (machine.sane_rings)
		evil = TAME;
	bool odd = evil == WILD && one_in(r, 4);

	if (!odd || one_in(r, 2))
		device_reset(d);
	if (odd && one_in(r, 2))
		set(d, VIRTIO_MMIO_STATUS, STATUS_BEGUN | VIRTIO_CONFIG_S_DRIVER_OK);
	set(d, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	set(d, VIRTIO_MMIO_STATUS, STATUS_BEGUN);
	d->features = choose_features(d, r, evil);
	for (unsigned half = 0; half < 2; half++) {
		set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
		set(d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(d->features >> 32 * half));
	}
	if (!odd || one_in(r, 2))
		set(d, VIRTIO_MMIO_STATUS, STATUS_BEGUN | VIRTIO_CONFIG_S_FEATURES_OK);
	for (unsigned i = 0; i < d->n_queues; i++)
		if (evil == TAME || !one_in(r, 16))
			queue_set_up(d, i, r, evil);
	for (unsigned i = odd ? random_below(r, 20) : 0; i; i--)
		device_poke(d, r);
	set(d, VIRTIO_MMIO_STATUS,
		STATUS_BEGUN | VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
}

void device_kick(struct device *d, uint32_t queue)
{
	set(d, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

bool device_is_broken(const struct device *d)
{
	return get(d, VIRTIO_MMIO_STATUS) & (VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED);
}

void device_poke(struct device *d, struct random *r)
{
	static const uint16_t registers[] = {
		VIRTIO_MMIO_DEVICE_FEATURES_SEL,
		VIRTIO_MMIO_DRIVER_FEATURES,
		VIRTIO_MMIO_DRIVER_FEATURES_SEL,
		VIRTIO_MMIO_QUEUE_SEL,
		VIRTIO_MMIO_QUEUE_NUM,
		VIRTIO_MMIO_QUEUE_READY,
		VIRTIO_MMIO_QUEUE_NOTIFY,
		VIRTIO_MMIO_INTERRUPT_ACK,
		VIRTIO_MMIO_STATUS,
		VIRTIO_MMIO_QUEUE_DESC_LOW,
		VIRTIO_MMIO_QUEUE_DESC_HIGH,
		VIRTIO_MMIO_QUEUE_AVAIL_LOW,
		VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
		VIRTIO_MMIO_QUEUE_USED_LOW,
		VIRTIO_MMIO_QUEUE_USED_HIGH,
		VIRTIO_MMIO_SHM_SEL,
		VIRTIO_MMIO_CONFIG_GENERATION,
		VIRTIO_MMIO_CONFIG,
		VIRTIO_MMIO_CONFIG + 4,
	};
	uint64_t gpa =
		d->gpa + registers[random_below(r, sizeof(registers) / sizeof(registers[0]))];
	unsigned width = 4;

	if (one_in(r, 4)) {
		width = 1u << random_below(r, 4);
		gpa = d->gpa + random_below(r, DEVICE_BYTES - 8);
	}
	if (one_in(r, 8))
		(void)read_wide(gpa, width);
	else
		write_wide(gpa, random_number(r), width);
}
