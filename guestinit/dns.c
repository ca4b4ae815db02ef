/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages; see dns.h. */
#include "guestinit/dns.h"

#include <stdbool.h>

#define LIMIT_PLAIN 512 /* without EDNS */
#define TYPE_OPT    41

/* The header's counts of records, and its flags. */
enum { AT_FLAGS = 2, AT_QUESTIONS = 4, AT_ANSWERS = 6, AT_AUTHORITIES = 8, AT_ADDITIONAL = 10 };
#define FLAG_QR	       0x80 /* of the first byte of flags */
#define FLAG_TC	       0x02
#define RCODE_MASK     0x0f /* of the second */
#define RCODE_SERVFAIL 2

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, size_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

/* What is behind the name at `at`; 0: nothing, the message is broken. */
static size_t skip_name(const uint8_t *msg, size_t len, size_t at)
{
	while (at < len) {
		if (msg[at] == 0)
			return at + 1;
		if ((msg[at] & 0xc0) == 0xc0)
			return at + 2 <= len ? at + 2 : 0; /* the rest is elsewhere */
		if (msg[at] & 0xc0)
			return 0;
		at += 1u + msg[at];
	}
	return 0;
}

static size_t skip_questions(const uint8_t *msg, size_t len)
{
	size_t at = DNS_HEADER_BYTES;

	if (len < DNS_HEADER_BYTES)
		return 0;
	for (unsigned n = get16(msg + AT_QUESTIONS); n && at; n--) {
		at = skip_name(msg, len, at);
		at = at && len - at >= 4 ? at + 4 : 0;
	}
	return at;
}

/* What is behind the record at `at`, 0: the message is broken; *type and *class are the record's.
 */
static size_t skip_record(
	const uint8_t *msg, size_t len, size_t at, unsigned *type, unsigned *class)
{
	at = skip_name(msg, len, at);
	if (!at || len - at < 10)
		return 0;
	*type = get16(msg + at);
	*class = get16(msg + at + 2);
	size_t data = get16(msg + at + 8);
	at += 10;
	return len - at >= data ? at + data : 0;
}

size_t dns_udp_limit(const uint8_t *query, size_t len_bytes)
{
	size_t at = skip_questions(query, len_bytes);
	unsigned type, class;

	if (!at)
		return LIMIT_PLAIN;
	unsigned n = get16(query + AT_ANSWERS) + get16(query + AT_AUTHORITIES) +
		get16(query + AT_ADDITIONAL);
	while (n-- && (at = skip_record(query, len_bytes, at, &type, &class)))
		if (type == TYPE_OPT)
			return class > LIMIT_PLAIN ? class : LIMIT_PLAIN;
	return LIMIT_PLAIN;
}

size_t dns_truncate(uint8_t *answer, size_t len_bytes, size_t limit_bytes)
{
	unsigned kept = 0, type, class;

	if (len_bytes <= limit_bytes || len_bytes < DNS_HEADER_BYTES)
		return len_bytes;
	size_t at = skip_questions(answer, len_bytes), next = at;
	bool whole = at && at <= limit_bytes;
	for (unsigned n = get16(answer + AT_ANSWERS); whole && n; n--) {
		next = skip_record(answer, len_bytes, at, &type, &class);
		if (!next || next > limit_bytes)
			break;
		at = next;
		kept++;
	}
	if (!whole)
		put16(answer + AT_QUESTIONS, 0);
	answer[AT_FLAGS] |= FLAG_TC;
	put16(answer + AT_ANSWERS, kept);
	put16(answer + AT_AUTHORITIES, 0);
	put16(answer + AT_ADDITIONAL, 0);
	return whole ? at : DNS_HEADER_BYTES;
}

size_t dns_fail(uint8_t *query, size_t len_bytes)
{
	size_t at = skip_questions(query, len_bytes);

	if (!at)
		put16(query + AT_QUESTIONS, 0);
	query[AT_FLAGS] |= FLAG_QR;
	query[AT_FLAGS + 1] = (uint8_t)((query[AT_FLAGS + 1] & ~RCODE_MASK) | RCODE_SERVFAIL);
	put16(query + AT_ANSWERS, 0);
	put16(query + AT_AUTHORITIES, 0);
	put16(query + AT_ADDITIONAL, 0);
	return at ? at : DNS_HEADER_BYTES;
}
