/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers between 2^63 and 2^64. OCI configurations hold them (RLIM_INFINITY is written as
 * 18446744073709551615), but jansson's integers are signed and it refuses anything larger. So
 * such a number is turned into a marked string before the text is parsed, is accepted where the
 * schema says uint64, and is turned into the signed integer of the same 64 bits (-1 for
 * RLIM_INFINITY) before the value goes to the guest, which reads it back by a cast.
 */
#ifndef OCI_NUMBER_H
#define OCI_NUMBER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Rewrites the large integers of a JSON text. *out is a fresh buffer (the caller's to free), or
 * NULL when there is nothing to rewrite. 0, or -ENOMEM.
 */
int oci_number_mark(
	const char *text, size_t len_bytes, char **out, size_t *out_len_bytes) must_check;

/* The value of an integer from 0 to UINT64_MAX, marked or not; -EINVAL for everything else. */
int oci_number_get(const json_t *value, uint64_t *number) must_check;

/* Whether value is a marked integer, which a reader of strings must not take for a string. */
bool oci_number_marked(const json_t *value);

/* Replaces the marked strings below value, in place, by signed integers. 0, or -ENOMEM. */
int oci_number_fold(json_t *value) must_check;

#endif
