/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's resolv.conf, which it may have written itself: whatever it holds, host and guest
 * find the same in it, and the address is one of the loopback, at DNS's port.
 *
 * Covers: base/resolv.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/resolv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_loopback(const union resolv_address *address)
{
	if (address->any.sa_family == AF_INET)
		return ntohl(address->v4.sin_addr.s_addr) >> 24 == 127 &&
			ntohs(address->v4.sin_port) == RESOLV_PORT &&
			resolv_bytes(address) == sizeof(address->v4);
	return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr) &&
		ntohs(address->v6.sin6_port) == RESOLV_PORT &&
		resolv_bytes(address) == sizeof(address->v6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	union resolv_address of_text, of_file;
	size_t looked_at = size < RESOLV_MAX_BYTES ? size : RESOLV_MAX_BYTES;
	/* Of its own size, so that ASan sees a look behind its end. */
	cleanup_free char *text = malloc(looked_at + !looked_at);
	cleanup_close int file = fd_memfile("resolv.conf", data, size);

	if (!text || file < 0)
		abort();
	if (looked_at)
		memcpy(text, data, looked_at);
	memset(&of_text, 0, sizeof(of_text));
	memset(&of_file, 0, sizeof(of_file));
	bool found = resolv_find(text, looked_at, &of_text);
	if (found && !is_loopback(&of_text))
		abort();
	if (resolv_read(file, &of_file) != found ||
		(found && memcmp(&of_text, &of_file, resolv_bytes(&of_text)) != 0))
		abort();
	return 0;
}
