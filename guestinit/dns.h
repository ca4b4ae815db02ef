/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What somebody who carries DNS messages (RFC 1035) over another transport has to know of them.
 * Both sides are other programs: any bytes will do.
 */
#ifndef GUESTINIT_DNS_H
#define GUESTINIT_DNS_H

#include <stddef.h>
#include <stdint.h>

#define DNS_HEADER_BYTES  12
#define DNS_MESSAGE_BYTES 65535 /* the largest: over TCP it is behind 16 bits of length */

/* How large an answer by UDP the sender of a query takes (RFC 1035, 4.2.1; RFC 6891, 6.2.3). */
size_t dns_udp_limit(const uint8_t *query, size_t len_bytes);

/*
 * Makes an answer fit into limit_bytes, at least 512: the answer's first records, as many as fit,
 * are left, with TC set (RFC 2181, 9). Its size then.
 */
size_t dns_truncate(uint8_t *answer, size_t len_bytes, size_t limit_bytes);

/* Makes a query, of at least a header, its answer that there is none (SERVFAIL). Its size then. */
size_t dns_fail(uint8_t *query, size_t len_bytes);

#endif
