/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI machine language, as little as our DSDT needs (ACPI 6.5, chapter 20): bytes into a bounded
 * buffer, nested packages with their lengths filled in when they close.
 */
#ifndef MICROVM_BOOT_AML_H
#define MICROVM_BOOT_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *buf;
	size_t len_bytes, cap_bytes;
	bool full; /* something did not fit: the buffer is useless */
};

void aml_put(struct aml *aml, const void *bytes, size_t len_bytes);
void aml_integer(struct aml *aml, uint32_t value);
void aml_string(struct aml *aml, const char *text);

/* Name(NAME, …): the value follows. NAME has four characters. */
void aml_name(struct aml *aml, const char *name);

/* Begin a Scope, Device or Package; what is returned goes to aml_close. */
size_t aml_scope(struct aml *aml, const char *name);
size_t aml_device(struct aml *aml, const char *name);
size_t aml_package(struct aml *aml, uint8_t n_elements);
void aml_close(struct aml *aml, size_t opened);

/* Buffer() with these bytes. */
void aml_buffer(struct aml *aml, const void *bytes, uint8_t len_bytes);

#endif
