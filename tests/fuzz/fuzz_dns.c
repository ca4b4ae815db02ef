/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages between a container and its resolver, neither of which guestinit believes: the first
 * two bytes of the input are how long an answer may be, the rest is the message. What is made of it
 * fits, is no longer than it was and still has a header.
 *
 * Covers: guestinit/dns.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "guestinit/dns.h"

#define LIMIT_MIN 512u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of its own size, so that ASan sees a look behind its end. */
static uint8_t *copy(const uint8_t *data, size_t size)
{
	uint8_t *bytes = malloc(size + !size);

	if (!bytes)
		abort();
	if (size)
		memcpy(bytes, data, size);
	return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size - 2 > DNS_MESSAGE_BYTES)
		return 0;
	size_t len = size - 2, limit = (size_t)data[0] << 8 | data[1];
	limit = limit < LIMIT_MIN ? LIMIT_MIN : limit;
	cleanup_free uint8_t *query = copy(data + 2, len), *answer = copy(data + 2, len);
	size_t room = dns_udp_limit(query, len);
	if (room < LIMIT_MIN || room > DNS_MESSAGE_BYTES)
		abort();
	size_t left = dns_truncate(answer, len, limit);
	if (left > len || (left > limit && len >= DNS_HEADER_BYTES))
		abort();
	/* What has been cut is whole: cutting it again changes nothing. */
	if (dns_truncate(answer, left, limit) != left)
		abort();
	if (len < DNS_HEADER_BYTES)
		return 0;
	left = dns_fail(query, len);
	if (left > len || left < DNS_HEADER_BYTES || dns_fail(query, left) != left)
		abort();
	return 0;
}
