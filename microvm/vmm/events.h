/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest says (docs/protocol.md, "monitor and guestinit"): every message is checked before
 * the session hears of it. The words come from a hostile guest.
 */
#ifndef MICROVM_VMM_EVENTS_H
#define MICROVM_VMM_EVENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define EVENTS_TEXT_BYTES 1024 /* what is left of a guest's message */

struct session;

/* -EPROTO with the reason in why for a message that breaks the protocol. */
int events_handle(
	struct session *session, const json_t *message, char *why, size_t cap_bytes) must_check;

/* Makes a guest's text safe for a log or a terminal: one line, printable, bounded. */
void events_clean_text(const char *text, char *out, size_t cap_bytes);

/*
 * The same for a text about a place in the create or exec message, which it may begin with: there
 * config.json is the member "config", and a user knows the file. file is what is put instead.
 */
void events_name_place(const char *text, const char *file, char *out, size_t cap_bytes);

/* What the messages mean for the session; defined in session.c. */
void session_guest_hello(struct session *session, uint64_t tsc);
void session_guest_created(struct session *session);
void session_guest_started(struct session *session);
void session_guest_exited(struct session *session, int code, bool oom);
void session_guest_failed(struct session *session, int code, const char *message);

#endif
