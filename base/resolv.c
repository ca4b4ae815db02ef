/* SPDX-License-Identifier: Apache-2.0 */
/* Resolvers in a namespace's loopback; see resolv.h. */
#include "base/resolv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LOOPBACK_NET 127

static bool parse(const char *text, union resolv_address *address)
{
	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
		address->v4.sin_family = AF_INET;
		address->v4.sin_port = htons(RESOLV_PORT);
		return ntohl(address->v4.sin_addr.s_addr) >> 24 == LOOPBACK_NET;
	}
	if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1) {
		address->v6.sin6_family = AF_INET6;
		address->v6.sin6_port = htons(RESOLV_PORT);
		return IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
	}
	return false;
}

/* "nameserver ADDRESS" from the beginning of the line on, as the C library wants it. */
static bool parse_line(const char *line, size_t len, union resolv_address *address)
{
	static const char word[] = "nameserver";
	char text[INET6_ADDRSTRLEN];
	size_t at = sizeof(word) - 1, n = 0;

	if (len <= at || memcmp(line, word, at) != 0 || (line[at] != ' ' && line[at] != '\t'))
		return false;
	while (at < len && (line[at] == ' ' || line[at] == '\t'))
		at++;
	while (at + n < len && !strchr(" \t\r", line[at + n]))
		n++;
	if (n >= sizeof(text))
		return false;
	memcpy(text, line + at, n);
	text[n] = '\0';
	return parse(text, address);
}

bool resolv_find(const char *text, size_t len_bytes, union resolv_address *address)
{
	while (len_bytes) {
		const char *end = memchr(text, '\n', len_bytes);
		size_t line = end ? (size_t)(end - text) : len_bytes;
		if (parse_line(text, line, address))
			return true;
		line += end != NULL;
		text += line;
		len_bytes -= line;
	}
	return false;
}

bool resolv_read(int fd, union resolv_address *address)
{
	char text[RESOLV_MAX_BYTES];
	size_t len = 0;
	ssize_t n = 1;

	while (n != 0 && len < sizeof(text)) {
		n = pread(fd, text + len, sizeof(text) - len, (off_t)len);
		if (n < 0 && errno != EINTR)
			return false;
		len += n > 0 ? (size_t)n : 0;
	}
	return resolv_find(text, len, address);
}

socklen_t resolv_bytes(const union resolv_address *address)
{
	return address->any.sa_family == AF_INET6 ? sizeof(address->v6) : sizeof(address->v4);
}
