/* SPDX-License-Identifier: Apache-2.0 */
/* AML encoding; see aml.h. */
#include "microvm/boot/aml.h"

#include <string.h>

enum aml_op {
	AML_NAME = 0x08,
	AML_BYTE = 0x0a,
	AML_DWORD = 0x0c,
	AML_STRING = 0x0d,
	AML_SCOPE = 0x10,
	AML_BUFFER = 0x11,
	AML_PACKAGE = 0x12,
	AML_EXT = 0x5b,
	AML_EXT_DEVICE = 0x82,
};

/* Every package length is written in its three-byte form, so that it can be filled in later. */
#define PKG_LENGTH_BYTES 3
#define PKG_LENGTH_MAX	 0xfffffu

void aml_put(struct aml *aml, const void *bytes, size_t len_bytes)
{
	if (aml->full || len_bytes > aml->cap_bytes - aml->len_bytes) {
		aml->full = true;
		return;
	}
	memcpy(aml->buf + aml->len_bytes, bytes, len_bytes);
	aml->len_bytes += len_bytes;
}

static void aml_byte(struct aml *aml, uint8_t byte)
{
	aml_put(aml, &byte, 1);
}

void aml_integer(struct aml *aml, uint32_t value)
{
	if (value <= 1) {
		aml_byte(aml, (uint8_t)value); /* ZeroOp, OneOp */
	} else if (value <= 0xff) {
		aml_byte(aml, AML_BYTE);
		aml_byte(aml, (uint8_t)value);
	} else {
		aml_byte(aml, AML_DWORD);
		aml_put(aml, &value, sizeof(value));
	}
}

void aml_string(struct aml *aml, const char *text)
{
	aml_byte(aml, AML_STRING);
	aml_put(aml, text, strlen(text) + 1);
}

void aml_name(struct aml *aml, const char *name)
{
	aml_byte(aml, AML_NAME);
	aml_put(aml, name, 4);
}

static size_t aml_open(struct aml *aml)
{
	size_t opened = aml->len_bytes;

	aml_put(aml, (const uint8_t[PKG_LENGTH_BYTES]){0}, PKG_LENGTH_BYTES);
	return opened;
}

size_t aml_scope(struct aml *aml, const char *name)
{
	aml_byte(aml, AML_SCOPE);
	size_t opened = aml_open(aml);
	aml_put(aml, name, strlen(name));
	return opened;
}

size_t aml_device(struct aml *aml, const char *name)
{
	aml_byte(aml, AML_EXT);
	aml_byte(aml, AML_EXT_DEVICE);
	size_t opened = aml_open(aml);
	aml_put(aml, name, 4);
	return opened;
}

size_t aml_package(struct aml *aml, uint8_t n_elements)
{
	aml_byte(aml, AML_PACKAGE);
	size_t opened = aml_open(aml);
	aml_byte(aml, n_elements);
	return opened;
}

/* PkgLength (20.2.4) counts itself: low four bits in the lead byte, with the number that follow. */
void aml_close(struct aml *aml, size_t opened)
{
	if (aml->full)
		return;
	size_t len = aml->len_bytes - opened;
	if (len > PKG_LENGTH_MAX) {
		aml->full = true;
		return;
	}
	aml->buf[opened] = (uint8_t)((PKG_LENGTH_BYTES - 1) << 6 | (len & 0xf));
	aml->buf[opened + 1] = (uint8_t)(len >> 4);
	aml->buf[opened + 2] = (uint8_t)(len >> 12);
}

void aml_buffer(struct aml *aml, const void *bytes, uint8_t len_bytes)
{
	aml_byte(aml, AML_BUFFER);
	size_t opened = aml_open(aml);
	aml_integer(aml, len_bytes);
	aml_put(aml, bytes, len_bytes);
	aml_close(aml, opened);
}
