/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The streams of a session's container: stdin, stdout and stderr, or one for its terminal, then
 * those that are preserved, each a connection of vsock's with a descriptor of the host. For
 * session.c alone.
 */
#ifndef MICROVM_VMM_SESSION_STREAM_H
#define MICROVM_VMM_SESSION_STREAM_H

#include "microvm/vmm/session.h"

/* Takes over the descriptors in the session's configuration. */
void session_streams_init(struct session *s);
void session_streams_fini(struct session *s);

/* Asks the guest for stream i, if it is used. 0, or -errno with e. */
int session_stream_open(struct session *s, unsigned i, struct err *e) must_check;

bool session_streams_done(const struct session *s);

#endif
