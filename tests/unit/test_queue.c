/* SPDX-License-Identifier: Apache-2.0 */
/* Split virtqueues from the device's side, and the guest memory below them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "microvm/virtio/queue.h"
#include "tests/unit/support/fake_transport.h"

#define SIZE	     8u
#define F_NEXT	     1u
#define F_WRITE	     2u
#define F_INDIRECT   4u
#define ALL_FEATURES (FAKE_F_VERSION_1 | FAKE_F_EVENT_IDX | FAKE_F_INDIRECT)

struct fixture {
	struct fake_transport fake;
	struct virtq q;
	struct virtq_chain chain;
};

static int setup_with(void **state, uint64_t features)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || fake_rings_init(&f->fake, 1, SIZE) < 0 ||
		virtq_start(&f->q, &f->fake.memory, &f->fake.queues[0].layout, features, 0) < 0)
		return -1;
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, ALL_FEATURES);
}

static int setup_plain(void **state)
{
	return setup_with(state, FAKE_F_VERSION_1);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_transport_fini(&f->fake);
	free(f);
	return 0;
}

static void set_desc(
	struct fixture *f, unsigned i, uint64_t gpa, uint32_t len, unsigned flags, unsigned next)
{
	f->fake.queues[0].desc[i] = (struct fake_desc){
		.gpa = gpa, .len_bytes = len, .flags = (uint16_t)flags, .next = (uint16_t)next};
}

static void test_memory_bounds(void **state)
{
	struct fixture *f = *state;
	const struct guest_memory *m = &f->fake.memory;

	assert_non_null(guest_memory_at(m, 0, FAKE_MEMORY_BYTES));
	assert_non_null(guest_memory_at(m, FAKE_MEMORY_BYTES - 1, 1));
	assert_null(guest_memory_at(m, FAKE_MEMORY_BYTES - 1, 2));
	assert_null(guest_memory_at(m, FAKE_MEMORY_BYTES, 0));
	assert_null(guest_memory_at(m, 1, UINT64_MAX));
	assert_null(guest_memory_at(m, UINT64_MAX, 2));
}

static void test_memory_hole(void **state)
{
	struct guest_memory m;
	struct err e;
	const uint64_t gib = UINT64_C(1) << 30;

	(void)state;
	assert_int_equal(guest_memory_create(&m, 5 * gib, &e), 0);
	assert_int_equal(m.n_regions, 2);
	assert_int_equal(m.regions[0].fd, m.regions[1].fd);
	assert_non_null(guest_memory_at(&m, 3 * gib - 1, 1));
	assert_null(guest_memory_at(&m, 3 * gib - 1, 2)); /* into the hole */
	assert_null(guest_memory_at(&m, 3 * gib, 1));
	uint8_t *high = guest_memory_at(&m, 4 * gib, 2 * gib);
	assert_non_null(high);
	high[0] = 42;
	assert_null(guest_memory_at(&m, 6 * gib, 1));

	/* The same file as a vhost-user back end sees it. */
	struct guest_memory other = {0};
	assert_int_equal(
		guest_memory_map(&other, dup(m.regions[0].fd), 4 * gib, 2 * gib, 3 * gib), 0);
	assert_int_equal(*(uint8_t *)guest_memory_at(&other, 4 * gib, 1), 42);
	assert_int_equal(guest_memory_map(&other, dup(m.regions[0].fd), 5 * gib, gib, 0), -EINVAL);
	assert_int_equal(
		guest_memory_map(&other, dup(m.regions[0].fd), 8 * gib, 6 * gib, 0), -EINVAL);
	assert_int_equal(
		guest_memory_map(&other, dup(m.regions[0].fd), 8 * gib, gib, 5 * gib), -EINVAL);
	assert_int_equal(
		guest_memory_map(&other, dup(m.regions[0].fd), 0, gib, UINT64_MAX - 4095), -EINVAL);
	assert_int_equal(guest_memory_map(&other, dup(m.regions[0].fd), 100, gib, 0), -EINVAL);
	guest_memory_fini(&other);
	guest_memory_fini(&m);
	assert_int_equal(m.n_regions, 0);
	assert_int_equal(guest_memory_create(&m, 3 << 20, &e), -EINVAL);
}

static void test_layout_refused(void **state)
{
	struct fixture *f = *state;
	const struct virtq_layout good = f->fake.queues[0].layout;
	struct virtq_layout bad;
	struct virtq q;

	const uint16_t sizes[] = {0, 3, 6, 2048, 0xffff};
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		bad = good;
		bad.size = sizes[i];
		assert_int_equal(virtq_start(&q, &f->fake.memory, &bad, 0, 0), -EINVAL);
	}
	bad = good;
	bad.desc_gpa += 8;
	assert_int_equal(virtq_start(&q, &f->fake.memory, &bad, 0, 0), -EINVAL);
	bad = good;
	bad.avail_gpa += 1;
	assert_int_equal(virtq_start(&q, &f->fake.memory, &bad, 0, 0), -EINVAL);
	bad = good;
	bad.used_gpa += 2;
	assert_int_equal(virtq_start(&q, &f->fake.memory, &bad, 0, 0), -EINVAL);
	bad = good;
	bad.used_gpa = FAKE_MEMORY_BYTES - 4;
	assert_int_equal(virtq_start(&q, &f->fake.memory, &bad, 0, 0), -EINVAL);
	bad = good;
	bad.desc_gpa = UINT64_MAX - 15;
	assert_int_equal(virtq_start(&q, &f->fake.memory, &bad, 0, 0), -EINVAL);
}

static void test_chain_round_trip(void **state)
{
	struct fixture *f = *state;
	char *in = fake_alloc(&f->fake, 100), *more = fake_alloc(&f->fake, 100);
	char *out = fake_alloc(&f->fake, 100);
	const struct fake_segment s[] = {{in, 3, false}, {NULL, 0, false}, {more, 4, false},
		{out, 5, true}, {out + 50, 5, true}};
	char copy[16] = {0};
	uint32_t len = 0;

	memcpy(in, "abc", 3);
	memcpy(more, "defg", 4);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 0);
	assert_int_equal(fake_add(&f->fake, 0, s, 5), 0);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	/* The empty segment is left out. */
	assert_int_equal(f->chain.n_readable, 2);
	assert_int_equal(f->chain.n_writable, 2);
	assert_int_equal(f->chain.readable_bytes, 7);
	assert_int_equal(f->chain.writable_bytes, 10);
	assert_int_equal(virtq_chain_read(&f->chain, 0, copy, sizeof(copy)), 7);
	assert_string_equal(copy, "abcdefg");
	assert_int_equal(virtq_chain_read(&f->chain, 2, copy, 2), 2);
	assert_memory_equal(copy, "cd", 2);
	assert_int_equal(virtq_chain_read(&f->chain, 7, copy, 1), 0);
	assert_int_equal(virtq_chain_write(&f->chain, 3, "0123456789", 10), 7);
	assert_memory_equal(out + 3, "01", 2);
	assert_memory_equal(out + 50, "23456", 5);
	virtq_push(&f->q, f->chain.head, 10);
	assert_int_equal(fake_used(&f->fake, 0, &len), 0);
	assert_int_equal(len, 10);
	assert_int_equal(fake_used(&f->fake, 0, &len), -1);
}

static void test_indirect(void **state)
{
	struct fixture *f = *state;
	struct fake_segment s[40];
	char *bytes = fake_alloc(&f->fake, 40);

	for (unsigned i = 0; i < 40; i++)
		s[i] = (struct fake_segment){bytes + i, 1, i >= 20};
	assert_int_equal(fake_add_indirect(&f->fake, 0, s, 40), 0);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	assert_int_equal(f->chain.n_readable, 20);
	assert_int_equal(f->chain.n_writable, 20);
	assert_ptr_equal(f->chain.iov[39].iov_base, bytes + 39);
}

/* Direct descriptors before the indirect one are legal (2.7.5.3.2). */
static void test_indirect_after_direct(void **state)
{
	struct fixture *f = *state;
	char *bytes = fake_alloc(&f->fake, 16);
	struct fake_desc *table = fake_alloc(&f->fake, sizeof(*table));

	*table = (struct fake_desc){fake_gpa(&f->fake, bytes + 8), 8, F_WRITE, 0};
	set_desc(f, 0, fake_gpa(&f->fake, bytes), 8, F_NEXT, 5);
	set_desc(f, 5, fake_gpa(&f->fake, table), 16, F_INDIRECT | F_WRITE, 0);
	fake_publish(&f->fake, 0, 0);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	assert_int_equal(f->chain.readable_bytes, 8);
	assert_int_equal(f->chain.writable_bytes, 8);
}

static void expect_broken(struct fixture *f)
{
	fake_publish(&f->fake, 0, 0);
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
	assert_true(f->q.broken);
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
}

static void test_refuse_loop(void **state)
{
	struct fixture *f = *state;

	set_desc(f, 0, 0x40000, 1, F_NEXT, 1);
	set_desc(f, 1, 0x40000, 1, F_NEXT, 0);
	expect_broken(f);
}

static void test_refuse_empty_loop(void **state)
{
	struct fixture *f = *state;

	set_desc(f, 0, 0, 0, F_NEXT, 0);
	expect_broken(f);
}

static void test_refuse_next(void **state)
{
	set_desc(*state, 0, 0x40000, 1, F_NEXT, SIZE);
	expect_broken(*state);
}

static void test_refuse_order(void **state)
{
	set_desc(*state, 0, 0x40000, 1, F_NEXT | F_WRITE, 1);
	set_desc(*state, 1, 0x40000, 1, 0, 0);
	expect_broken(*state);
}

static void test_refuse_outside(void **state)
{
	set_desc(*state, 0, FAKE_MEMORY_BYTES - 8, 16, 0, 0);
	expect_broken(*state);
}

static void test_refuse_wrap(void **state)
{
	set_desc(*state, 0, UINT64_MAX - 8, 16, 0, 0);
	expect_broken(*state);
}

static void test_refuse_nested_indirect(void **state)
{
	struct fixture *f = *state;
	struct fake_desc *table = fake_alloc(&f->fake, 2 * sizeof(*table));

	table[0] = (struct fake_desc){fake_gpa(&f->fake, table), 16, F_INDIRECT, 0};
	set_desc(f, 0, fake_gpa(&f->fake, table), 16, F_INDIRECT, 0);
	expect_broken(f);
}

static void test_refuse_indirect_next(void **state)
{
	struct fixture *f = *state;
	struct fake_desc *table = fake_alloc(&f->fake, sizeof(*table));

	set_desc(f, 0, fake_gpa(&f->fake, table), 16, F_INDIRECT | F_NEXT, 1);
	expect_broken(f);
}

static void test_refuse_indirect_loop(void **state)
{
	struct fixture *f = *state;
	struct fake_desc *table = fake_alloc(&f->fake, 2 * sizeof(*table));

	table[0] = (struct fake_desc){0x40000, 1, F_NEXT, 1};
	table[1] = (struct fake_desc){0x40000, 1, F_NEXT, 0};
	set_desc(f, 0, fake_gpa(&f->fake, table), 32, F_INDIRECT, 0);
	expect_broken(f);
}

static void test_refuse_indirect_length(void **state)
{
	struct fixture *f = *state;
	const uint32_t lens[] = {0, 8, 17, 16 * (VIRTQ_SEGMENTS_MAX + 1), UINT32_MAX};

	for (unsigned i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		set_desc(f, 0, 0x40000, lens[i], F_INDIRECT, 0);
		f->q.broken = false;
		expect_broken(f);
		f->q.last_avail = f->fake.queues[0].avail->idx;
	}
}

static void test_refuse_indirect_unnegotiated(void **state)
{
	set_desc(*state, 0, 0x40000, 16, F_INDIRECT, 0);
	expect_broken(*state);
}

static void test_refuse_head(void **state)
{
	struct fixture *f = *state;

	fake_publish(&f->fake, 0, SIZE);
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
}

static void test_refuse_index_jump(void **state)
{
	struct fixture *f = *state;

	set_desc(f, 0, 0x40000, 1, 0, 0);
	f->fake.queues[0].avail->idx = SIZE + 1;
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
}

/* Chains that were never returned can't be made available again without end. */
static void test_in_flight_bounded(void **state)
{
	struct fixture *f = *state;

	set_desc(f, 0, 0x40000, 1, 0, 0);
	for (unsigned i = 0; i < SIZE; i++) {
		fake_publish(&f->fake, 0, 0);
		assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	}
	fake_publish(&f->fake, 0, 0);
	assert_int_equal(virtq_pop(&f->q, &f->chain), -EPROTO);
}

static void test_total_length_bounded(void **state)
{
	struct fixture *f = *state;
	struct guest_memory m;
	const unsigned n = 3;

	/* Three segments of 2 GiB, all of the same memory: more than 32 bits can count. */
	assert_int_equal(guest_memory_create(&m, UINT64_C(2) << 30, NULL), 0);
	f->q.memory = &m;
	for (unsigned i = 0; i < n; i++)
		set_desc(f, i, 0, 0x80000000, i + 1 < n ? F_NEXT : 0, i + 1);
	expect_broken(f);
	guest_memory_fini(&m);
}

static void test_unpop(void **state)
{
	struct fixture *f = *state;
	const struct fake_segment s = {fake_alloc(&f->fake, 8), 8, true};

	assert_int_equal(fake_add(&f->fake, 0, &s, 1), 0);
	assert_int_equal(fake_add(&f->fake, 0, &s, 1), 1);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	assert_int_equal(f->chain.head, 0);
	virtq_unpop(&f->q);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	assert_int_equal(f->chain.head, 0);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	assert_int_equal(f->chain.head, 1);
}

/* Any number of chains goes back at once; and those popped last, in turn. */
static void test_fill_publish(void **state)
{
	struct fixture *f = *state;
	const struct fake_segment s = {fake_alloc(&f->fake, 8), 8, true};
	uint32_t len = 0;

	for (int i = 0; i < 4; i++) {
		assert_int_equal(fake_add(&f->fake, 0, &s, 1), i);
		assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	}
	virtq_fill(&f->q, 0, 8);
	virtq_fill(&f->q, 1, 3);
	assert_int_equal(fake_used(&f->fake, 0, NULL), -1);
	virtq_publish(&f->q);
	assert_int_equal(fake_used(&f->fake, 0, &len), 0);
	assert_int_equal(len, 8);
	assert_int_equal(fake_used(&f->fake, 0, &len), 1);
	assert_int_equal(len, 3);
	assert_int_equal(fake_used(&f->fake, 0, NULL), -1);
	virtq_unpop(&f->q);
	virtq_unpop(&f->q);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	assert_int_equal(f->chain.head, 2);
}

static void one_chain(struct fixture *f, const struct fake_segment *s)
{
	assert_true(fake_add(&f->fake, 0, s, 1) >= 0);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 1);
	virtq_push(&f->q, f->chain.head, 0);
	assert_true(fake_used(&f->fake, 0, NULL) >= 0);
}

static void test_wrap_around(void **state)
{
	struct fixture *f = *state;
	const struct fake_segment s = {fake_alloc(&f->fake, 8), 8, true};

	for (unsigned i = 0; i < 70000; i++)
		one_chain(f, &s);
	assert_int_equal(f->q.next_used, 70000 & 0xffff);
}

static void test_resume(void **state)
{
	struct fixture *f = *state;
	const struct fake_segment s = {fake_alloc(&f->fake, 8), 8, true};

	for (unsigned i = 0; i < 5; i++)
		one_chain(f, &s);
	uint16_t base = virtq_stop(&f->q);
	assert_int_equal(base, 5);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 0);
	virtq_push(&f->q, 0, 0); /* too late: ignored */
	assert_int_equal(
		virtq_start(&f->q, &f->fake.memory, &f->fake.queues[0].layout, ALL_FEATURES, base),
		0);
	one_chain(f, &s);
	assert_int_equal(f->fake.queues[0].used->idx, 6);
}

static void test_interrupt_flag(void **state)
{
	struct fixture *f = *state;
	const struct fake_segment s = {fake_alloc(&f->fake, 8), 8, true};

	one_chain(f, &s);
	assert_true(virtq_should_interrupt(&f->q));
	assert_false(virtq_should_interrupt(&f->q)); /* nothing new */
	f->fake.queues[0].avail->flags = 1;	     /* NO_INTERRUPT */
	one_chain(f, &s);
	assert_false(virtq_should_interrupt(&f->q));
}

static void test_interrupt_event(void **state)
{
	struct fixture *f = *state;
	const struct fake_segment s = {fake_alloc(&f->fake, 8), 8, true};

	fake_set_used_event(&f->fake, 0, 0);
	one_chain(f, &s);
	assert_true(virtq_should_interrupt(&f->q));
	/* The driver asks for the fourth: not for the second and third. */
	fake_set_used_event(&f->fake, 0, 3);
	one_chain(f, &s);
	assert_false(virtq_should_interrupt(&f->q));
	one_chain(f, &s);
	assert_false(virtq_should_interrupt(&f->q));
	one_chain(f, &s);
	assert_true(virtq_should_interrupt(&f->q));
	/* A batch that passes the index at once. */
	fake_set_used_event(&f->fake, 0, 5);
	for (unsigned i = 0; i < 6; i++)
		one_chain(f, &s);
	assert_true(virtq_should_interrupt(&f->q));
	one_chain(f, &s);
	assert_false(virtq_should_interrupt(&f->q));
}

static void test_interrupt_after_whole_turn(void **state)
{
	struct fixture *f = *state;
	const struct fake_segment s = {fake_alloc(&f->fake, 8), 8, true};

	one_chain(f, &s);
	(void)virtq_should_interrupt(&f->q);
	for (unsigned i = 0; i < 0x10000; i++)
		one_chain(f, &s);
	assert_true(virtq_should_interrupt(&f->q));
}

static void test_kick_event(void **state)
{
	struct fixture *f = *state;
	const struct fake_segment s = {fake_alloc(&f->fake, 8), 8, true};

	for (unsigned i = 0; i < 3; i++)
		one_chain(f, &s);
	/* An empty pop names the next index; a pop with kicks off does not. */
	assert_int_equal(virtq_pop(&f->q, &f->chain), 0);
	assert_int_equal(fake_avail_event(&f->fake, 0), 3);
	virtq_kicks_off(&f->q);
	one_chain(f, &s);
	assert_int_equal(virtq_pop(&f->q, &f->chain), 0);
	assert_int_equal(fake_avail_event(&f->fake, 0), 3);
	assert_false(virtq_kicks_on(&f->q));
	assert_int_equal(fake_avail_event(&f->fake, 0), 4);
	assert_true(fake_add(&f->fake, 0, &s, 1) >= 0);
	assert_true(virtq_kicks_on(&f->q)); /* one came meanwhile */
}

static void test_kick_flag(void **state)
{
	struct fixture *f = *state;

	virtq_kicks_off(&f->q);
	assert_int_equal(f->fake.queues[0].used->flags, 1);
	assert_false(virtq_kicks_on(&f->q));
	assert_int_equal(f->fake.queues[0].used->flags, 0);
}

static void test_iov_cut(void **state)
{
	char b[64];
	struct iovec v[3] = {{b, 10}, {b + 20, 10}, {b + 40, 10}};
	struct iovec *p = v;

	(void)state;
	assert_int_equal(virtq_iov_cut(&p, 3, 12, 10), 2);
	assert_ptr_equal(p, &v[1]);
	assert_ptr_equal(p[0].iov_base, b + 22);
	assert_int_equal(p[0].iov_len, 8);
	assert_int_equal(p[1].iov_len, 2);
	assert_int_equal(virtq_iov_cut(&p, 2, 10, SIZE_MAX), 0);
	p = v;
	assert_int_equal(virtq_iov_cut(&p, 1, 0, 0), 0);
}

#define with(fn)       cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define with_plain(fn) cmocka_unit_test_setup_teardown(fn, setup_plain, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with(test_memory_bounds),
		cmocka_unit_test(test_memory_hole),
		with(test_layout_refused),
		with(test_chain_round_trip),
		with(test_indirect),
		with(test_indirect_after_direct),
		with(test_refuse_loop),
		with(test_refuse_empty_loop),
		with(test_refuse_next),
		with(test_refuse_order),
		with(test_refuse_outside),
		with(test_refuse_wrap),
		with(test_refuse_nested_indirect),
		with(test_refuse_indirect_next),
		with(test_refuse_indirect_loop),
		with(test_refuse_indirect_length),
		with_plain(test_refuse_indirect_unnegotiated),
		with(test_refuse_head),
		with(test_refuse_index_jump),
		with(test_in_flight_bounded),
		with(test_total_length_bounded),
		with(test_unpop),
		with(test_fill_publish),
		with(test_wrap_around),
		with(test_resume),
		with_plain(test_interrupt_flag),
		with(test_interrupt_event),
		with(test_interrupt_after_whole_turn),
		with(test_kick_event),
		with_plain(test_kick_flag),
		cmocka_unit_test(test_iov_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
