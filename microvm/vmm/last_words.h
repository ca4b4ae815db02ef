/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the VM failed, for whoever looks after a container whose hvrun has gone: on the container's
 * own stderr (or terminal), behind all that it has written there itself, where callers keep it as
 * the container's log; in the file of hvrun's --log; and in this program's own log.
 */
#ifndef MICROVM_VMM_LAST_WORDS_H
#define MICROVM_VMM_LAST_WORDS_H

#include <jansson.h>
#include <stdbool.h>

struct last_words {
	int stream_fd; /* a duplicate of the container's stderr or terminal; -1: none (any more) */
	int log_fd;    /* --log; -1: none */
	bool terminal; /* the stream is one */
	bool json;     /* --log-format */
};

void last_words_init(struct last_words *words);

/* Duplicates the stream. Without room for it, nothing is said there. */
void last_words_keep_stream(struct last_words *words, int fd, bool terminal);

/* The container has closed it: whoever reads it is to see its end. */
void last_words_close_stream(struct last_words *words);

/*
 * Says what the event "failed" (docs/protocol.md) tells, as far as is possible without waiting.
 * Called by the loop's thread.
 */
void last_words_say(struct last_words *words, const json_t *event);

void last_words_fini(struct last_words *words);

#endif
