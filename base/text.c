/* SPDX-License-Identifier: Apache-2.0 */
/* Text that others wrote; see text.h. */
#include "base/text.h"

#include <string.h>

int32_t text_character(const char *text, size_t len_bytes, size_t *n_bytes)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t code = n == 1 ? p[0] : p[0] & (0x7fu >> n);

	*n_bytes = 1;
	if (!n || n > len_bytes)
		return -1;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return -1;
		code = code << 6 | (p[i] & 0x3f);
	}
	/* Longer than need be, halves of UTF-16's pairs, beyond Unicode. */
	if ((n == 3 && code < 0x800) || (n == 4 && code < 0x10000) ||
		(code >= 0xd800 && code < 0xe000) || code > 0x10ffff)
		return -1;
	*n_bytes = n;
	return (int32_t)code;
}

bool text_is_control(int32_t character)
{
	return character < ' ' || (character >= 0x7f && character < 0xa0);
}

void text_clean(char *text, size_t len_bytes)
{
	for (size_t at = 0, n; at < len_bytes; at += n) {
		int32_t character = text_character(text + at, len_bytes - at, &n);
		if (text_is_control(character) && character != '\t')
			memset(text + at, '?', n);
	}
}
