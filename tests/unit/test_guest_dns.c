/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages on their way between UDP and TCP, and which resolver a resolv.conf names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/resolv.h"
#include "guestinit/dns.h"

#define QUESTION     "\4many\4test\0\0\1\0\1" /* 15 bytes */
#define QUESTION_LEN 15
#define RECORD	     "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\300\0\2\1" /* 16 bytes */
#define RECORD_LEN   16
#define OPT	     "\0\0\x29\x04\xd0\0\0\0\0\0\0" /* for 1232 bytes */
#define OPT_LEN	     11

struct message {
	uint8_t bytes[DNS_MESSAGE_BYTES];
	size_t len;
};

static void add(struct message *m, const char *bytes, size_t len)
{
	memcpy(m->bytes + m->len, bytes, len);
	m->len += len;
}

/* A question, then so many answers, and perhaps EDNS. */
static void make(struct message *m, unsigned answers, unsigned opts)
{
	const char header[] = {
		0, 77, 1, 0, 0, 1, (char)(answers >> 8), (char)answers, 0, 0, 0, (char)opts};

	m->len = 0;
	add(m, header, sizeof(header));
	add(m, QUESTION, QUESTION_LEN);
	for (unsigned i = 0; i < answers; i++)
		add(m, RECORD, RECORD_LEN);
	for (unsigned i = 0; i < opts; i++)
		add(m, OPT, OPT_LEN);
}

static void test_limit(void **state)
{
	struct message *m = malloc(sizeof(*m));

	(void)state;
	assert_non_null(m);
	make(m, 0, 0);
	assert_int_equal(dns_udp_limit(m->bytes, m->len), 512);
	make(m, 0, 1);
	assert_int_equal(dns_udp_limit(m->bytes, m->len), 1232);
	/* What is less than 512 means 512, and what is broken nothing. */
	m->bytes[DNS_HEADER_BYTES + QUESTION_LEN + 3] = 0;
	assert_int_equal(dns_udp_limit(m->bytes, m->len), 512);
	for (size_t len = 0; len < m->len; len++)
		assert_int_equal(dns_udp_limit(m->bytes, len), 512);
	free(m);
}

static void test_truncate(void **state)
{
	struct message *m = malloc(sizeof(*m));

	(void)state;
	assert_non_null(m);
	make(m, 30, 0);
	assert_int_equal(dns_truncate(m->bytes, m->len, 512), m->len);
	assert_int_equal(m->bytes[2], 1);
	/* The record that does not fit goes, and EDNS, which would have fit, with it. */
	make(m, 31, 1);
	assert_int_equal(dns_truncate(m->bytes, m->len, 512), 507);
	assert_int_equal(m->bytes[2], 1 | 2);
	assert_memory_equal(m->bytes + 4, "\0\1\0\x1e\0\0\0\0", 8);
	make(m, 4000, 0);
	assert_int_equal(dns_truncate(m->bytes, m->len, 1232), 27 + 75 * RECORD_LEN);
	assert_memory_equal(m->bytes + 4, "\0\1\0\x4b\0\0\0\0", 8);
	/* A question that is none leaves the header. */
	make(m, 100, 0);
	memset(m->bytes + DNS_HEADER_BYTES, 0x3f, m->len - DNS_HEADER_BYTES);
	assert_int_equal(dns_truncate(m->bytes, m->len, 512), DNS_HEADER_BYTES);
	assert_memory_equal(m->bytes + 4, "\0\0\0\0\0\0\0\0", 8);
	free(m);
}

static void test_fail(void **state)
{
	struct message *m = malloc(sizeof(*m));

	(void)state;
	assert_non_null(m);
	make(m, 0, 1);
	assert_int_equal(dns_fail(m->bytes, m->len), DNS_HEADER_BYTES + QUESTION_LEN);
	assert_memory_equal(m->bytes, "\0\x4d\x81\2\0\1\0\0\0\0\0\0", 12);
	make(m, 0, 0);
	assert_int_equal(dns_fail(m->bytes, DNS_HEADER_BYTES), DNS_HEADER_BYTES);
	free(m);
}

/* Whatever it is: of a heap block of its very size, so that a sanitizer sees a step outside. */
static void test_any_bytes(void **state)
{
	struct message *m = malloc(sizeof(*m));

	(void)state;
	assert_non_null(m);
	srand(1);
	for (int round = 0; round < 20000; round++) {
		make(m, (unsigned)rand() % 60, (unsigned)rand() % 3);
		for (int n = rand() % 8; n > 0; n--)
			m->bytes[(size_t)rand() % m->len] = (uint8_t)rand();
		size_t len = DNS_HEADER_BYTES + (size_t)rand() % (m->len - DNS_HEADER_BYTES + 1);
		uint8_t *exact = malloc(len);
		assert_non_null(exact);
		memcpy(exact, m->bytes, len);
		size_t limit = dns_udp_limit(exact, len);
		assert_true(limit >= 512 && limit <= UINT16_MAX);
		size_t cut = dns_truncate(exact, len, 512);
		assert_true(cut >= DNS_HEADER_BYTES && cut <= 512 && cut <= len);
		assert_true(dns_fail(exact, len) <= len);
		free(exact);
	}
	free(m);
}

static const char *found(const char *text)
{
	static char out[INET6_ADDRSTRLEN];
	union resolv_address address;

	if (!resolv_find(text, strlen(text), &address))
		return "";
	assert_int_equal(ntohs(address.v4.sin_port), 53);
	if (address.any.sa_family == AF_INET6)
		return inet_ntop(AF_INET6, &address.v6.sin6_addr, out, sizeof(out));
	return inet_ntop(AF_INET, &address.v4.sin_addr, out, sizeof(out));
}

static void test_resolv(void **state)
{
	(void)state;
	assert_string_equal(
		found("search x\nnameserver 127.0.0.11\noptions ndots:0\n"), "127.0.0.11");
	assert_string_equal(found("nameserver\t 127.255.0.1 # x"), "127.255.0.1");
	assert_string_equal(found("nameserver 192.0.2.1\r\nnameserver ::1\r\n"), "::1");
	assert_string_equal(found("nameserver 127.0.0.1\nnameserver 127.0.0.2\n"), "127.0.0.1");
	assert_string_equal(found(""), "");
	assert_string_equal(found("\n\nnameserver"), "");
	assert_string_equal(found("nameserver "), "");
	assert_string_equal(found("# nameserver 127.0.0.11\n nameserver 127.0.0.11\n"), "");
	assert_string_equal(found("nameservers 127.0.0.11\nnameserver127.0.0.11\n"), "");
	assert_string_equal(found("nameserver 192.0.2.1\nnameserver 2001:db8::1\n"), "");
	assert_string_equal(found("nameserver 127.0.0.11.\nnameserver 127.1\n"), "");
	assert_string_equal(found("nameserver ::ffff:127.0.0.11\nnameserver fe80::1%lo\n"), "");
	assert_string_equal(
		found("nameserver 127.0.0.11.127.0.0.11.127.0.0.11.127.0.0.11.127.0.0.11\n"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_truncate),
		cmocka_unit_test(test_fail),
		cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_resolv),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
