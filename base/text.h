/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that others wrote (a guest, an image, a bundle) and a person is going to read: no control
 * character of it reaches a terminal. Those are below a space, 0x7f, and U+0080 to U+009F, which
 * some terminals obey as they do escape sequences.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * The code of the character that `text` of len_bytes (at least 1) begins with in UTF-8, and its
 * length: at least 1. -1 where there is none; *n_bytes is 1 then.
 */
int32_t text_character(const char *text, size_t len_bytes, size_t *n_bytes) must_check;

/* True for -1, too. */
bool text_is_control(int32_t character);

/* A question mark for each byte of control characters but tabs, and of what is no UTF-8. */
void text_clean(char *text, size_t len_bytes);

#endif
