/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors of hvrun's caller that its process in the container is to have (--preserve-fds,
 * LISTEN_FDS). A file of the host is nothing to the guest's kernel, but the bytes of a stream can
 * be carried: pipes, and connected stream sockets. All else is refused, with what can take its
 * place.
 */
#ifndef RUNTIME_PRESERVE_H
#define RUNTIME_PRESERVE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/msg.h"

#define PRESERVE_FIRST 3 /* behind the standard streams */

struct preserve {
	struct preserve_stream {
		int fd;	      /* our own, close-on-exec; the caller's is closed */
		bool in, out; /* as the container sees it: it reads, it writes */
	} v[MSG_PRESERVED_MAX];
	unsigned n;
};

/* How many descriptors from 3 on are open; before anything is opened, they are the caller's. */
unsigned preserve_inherited(void);

/* How many sockets a service manager has passed to this process (sd_listen_fds(3)); 0: none. */
unsigned preserve_listen_fds(void);

/*
 * Takes descriptors from 3 on: the first listen_fds of them, and preserve_fds more. inherited:
 * see above. For preserve_close in any case.
 */
int preserve_take(struct preserve *p, unsigned inherited, unsigned listen_fds,
	unsigned preserve_fds, struct err *e) must_check;

/*
 * [{key: N, "in", "out"}, ...] (docs/protocol.md), a new reference, NULL without memory: N is
 * first and upwards, or with -1 the descriptor; key NULL: left out.
 */
json_t *preserve_json(const struct preserve *p, const char *key, int first);

void preserve_close(struct preserve *p);

#endif
