/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the stream of messages between host and guest. The first byte says in pieces of
 * which size they arrive; the second chooses between the bounds of the two directions.
 *
 * Covers: base/msg.c
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was taken out can be sent on, and comes out the same. */
static void check_round_trip(const json_t *message)
{
	cleanup_free char *bytes = NULL;
	size_t len;
	struct err e = {0};

	int ret = msg_encode(message, MSG_MAX_BYTES, &bytes, &len);
	if (ret == -EMSGSIZE)
		return;
	if (ret < 0 || len < MSG_HEADER_BYTES)
		abort();
	cleanup_json json_t *again =
		json_parse(bytes + MSG_HEADER_BYTES, len - MSG_HEADER_BYTES, MSG_MAX_DEPTH, &e);
	if (!again || !json_equal(message, again))
		abort();
}

static int take_messages(struct msg_reader *reader)
{
	struct err e = {0};

	for (;;) {
		cleanup_json json_t *message = NULL;
		int ret = msg_reader_next(reader, &message, &e);
		if (ret < 0 && !e.text[0])
			abort();
		if (ret <= 0)
			return ret;
		if (!json_is_object(message))
			abort();
		check_round_trip(message);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct msg_reader reader;
	int pair[2], ret = 0;

	if (size < 2)
		return 0;
	size_t piece = (size_t)data[0] * 16 + 1;
	msg_reader_init(&reader, data[1] & 1 ? MSG_MAX_BYTES : MSG_MAX_GUEST_BYTES);
	if (pipe(pair) < 0)
		abort();
	for (size_t at = 2; at < size && ret >= 0; at += piece) {
		size_t len = size - at < piece ? size - at : piece;
		if (write(pair[1], data + at, len) != (ssize_t)len)
			abort();
		for (size_t got = 0; got < len && ret >= 0;) {
			int n = msg_reader_fill(&reader, pair[0]);
			if (n <= 0)
				abort();
			got += (size_t)n;
			ret = take_messages(&reader);
		}
	}
	close(pair[0]);
	close(pair[1]);
	msg_reader_fini(&reader);
	return 0;
}
