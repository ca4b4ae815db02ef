/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hostile guest: a program in the place of a kernel, which has the whole machine to itself and
 * does to its devices what no driver would. It chooses at random, from a seed, so that a run can be
 * repeated. tests/hostile/run starts it.
 *
 *  entry.S     the first instructions
 *  machine.c   memory, processors, serial port, words of the command line, random numbers
 *  device.c    one device: its registers, and the way a driver starts it, well or badly
 *  ring.c      descriptors, chains and rings, well or badly made
 *  request.c   what is in a chain: a device's requests, well or badly made
 *  main.c      what is done, in rounds
 *
 * What devices may write to lies above the program, up to the end of memory: it can't be hit by
 * what it asks for itself.
 */
#ifndef TESTS_HOSTILE_GUEST_H
#define TESTS_HOSTILE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICES_MAX   24
#define QUEUES_MAX    17
#define RING_SIZE_MAX 1024u

/* Where rings and buffers are, in every VM: from 16 MiB on. */
#define ARENA_GPA     0x1000000ull
#define ARENA_BYTES   0x800000ull
#define RINGS_GPA     ARENA_GPA /* of queue i at i * RING_BYTES */
#define RING_BYTES    0x10000ull
#define RING_AVAIL    0x8000ull
#define RING_USED     0xa000ull
#define BUFFERS_GPA   (ARENA_GPA + 0x200000)
#define BUFFERS_BYTES (ARENA_BYTES - 0x200000)

/* machine.c */
struct random {
	uint64_t state;
};

struct machine {
	uint64_t ram_end_gpa[2]; /* of memory below 4 GiB, and above (0: none) */
	uint64_t device_gpa[DEVICES_MAX];
	unsigned n_devices;
	uint64_t seed, operations;
	uint32_t kinds;	  /* bit VIRTIO_ID: these devices are attacked */
	bool machine_too; /* interrupt controllers and ports as well */
	bool agent;	  /* vsock is used to speak to the monitor in the agent's place */
	bool sane_rings;  /* rings lie where they may, with features that are offered */
	bool second;	  /* a second processor takes part */
};

void machine_init(struct machine *m, unsigned how, const void *params);
void machine_start_second(void);
void machine_end(void) __attribute__((noreturn));
void print(const char *text);
void print_number(uint64_t number);

uint64_t random_next(struct random *r);
uint32_t random_below(struct random *r, uint32_t n); /* 0 to n - 1 */
static inline bool one_in(struct random *r, uint32_t n)
{
	return random_below(r, n) == 0;
}
/* A number of the kind that breaks arithmetic: small, around powers of two, all ones, any. */
uint64_t random_number(struct random *r);

void *memcpy(void *dst, const void *src, size_t n);
void *memset(void *dst, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t read32(uint64_t gpa)
{
	uint32_t value;

	__asm__ volatile("movl (%1), %0" : "=a"(value) : "r"(gpa) : "memory");
	return value;
}

static inline void write32(uint64_t gpa, uint32_t value)
{
	__asm__ volatile("movl %0, (%1)" : : "a"(value), "r"(gpa) : "memory");
}

/* Any width of 1, 2, 4, 8, at any address. */
void write_wide(uint64_t gpa, uint64_t value, unsigned width);
uint64_t read_wide(uint64_t gpa, unsigned width);

/* device.c */
struct queue {
	uint16_t size;
	uint16_t avail, free;		    /* the next index of the ring, the next descriptor */
	uint16_t taken;			    /* descriptors since the ring was last empty */
	uint64_t desc, avail_gpa, used_gpa; /* where the device was told that they are */
};

struct device {
	uint64_t gpa;
	uint32_t id;
	unsigned n_queues;
	uint64_t offered, features;
	struct queue queues[QUEUES_MAX];
};

enum evil { TAME, SLY, WILD }; /* rules kept; now and then broken; mostly broken */

void device_find(struct device *d, uint64_t gpa);
void device_reset(struct device *d);
/* Reset, negotiation, queues, DRIVER_OK; evil: in which something is wrong. */
void device_start(struct device *d, struct random *r, enum evil evil);
void device_kick(struct device *d, uint32_t queue);
bool device_is_broken(const struct device *d);
void device_poke(struct device *d, struct random *r); /* any register, any value, any width */
/* An address where len bytes are, or are not. */
uint64_t random_gpa(struct random *r, uint32_t len);

/* ring.c */
#define PARTS_MAX 64
struct part {
	uint64_t gpa;
	uint32_t len;
	bool writable;
};
struct chain {
	struct part parts[PARTS_MAX];
	unsigned n;
};

/* Puts the chain into the ring, as evil says, and makes it available; false when there is no room.
 */
bool ring_add(
	struct device *d, unsigned queue, const struct chain *c, struct random *r, enum evil evil);
/* Changes something in rings that the device may be reading. */
void ring_scribble(struct device *d, struct random *r);
/* Waits a little for the device to come as far as the ring; whether it did. */
bool ring_wait(struct device *d, unsigned queue);
/* Chains that came back since the start, as far as the index tells. */
uint32_t rings_served(const struct device *d);

/* request.c */
/* A request for the queue, in buffers of the arena. */
void request_make(struct device *d, unsigned queue, struct chain *c, struct random *r);
/* Whether the device keeps what it gets there until it has something to say. */
bool request_is_kept(const struct device *d, unsigned queue);
/* What a device's requests are worth nothing without, right after its start. */
void request_begin(struct device *d, struct random *r);

extern struct machine machine;

#endif
