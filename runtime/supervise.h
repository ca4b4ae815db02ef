/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time between the start of hvrun-vmm and hvrun-fs and the end of both: events of the monitor,
 * signals to be forwarded, the terminal's size, and children that die before their time.
 */
#ifndef RUNTIME_SUPERVISE_H
#define RUNTIME_SUPERVISE_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"
#include "runtime/streams.h"

/* How far supervise_run goes. */
enum supervise_until { SUPERVISE_END, SUPERVISE_CREATED, SUPERVISE_STARTED };

struct supervise {
	struct loop loop;
	struct loop_source signals;
	struct loop_source control; /* of the monitor */
	struct loop_timer timer;
	struct streams *streams;
	int signal_fd, control_fd;
	int fs_control_fd;
	pid_t vmm, fs; /* 0 once reaped or never started */
	int fs_status; /* of waitpid */
	sigset_t old_mask;
	enum supervise_until until;
	void (*on_started)(void *arg); /* NULL, or called once when the container's process runs */
	void *arg;
	bool ready;   /* supervise_init was called */
	bool started; /* the container's process runs: signals are its own from here on */
	bool reached; /* `until`, before the end */
	bool told;    /* the monitor has said how it ended */
	bool failed;
	bool oom;
	unsigned grace;	 /* of the ways to end a child, how many were tried */
	bool killed;	 /* a child, by us */
	int code;	 /* hvrun's exit code */
	json_t *console; /* the last lines of the guest's console, an array, or NULL */
	struct err err;	 /* why, when failed */
};

/* Nothing that supervise_fini would have to do yet. */
void supervise_clear(struct supervise *s);

/*
 * Blocks the signals that are to be forwarded, and opens a descriptor for them: before anything is
 * started, so that none is lost. The caller calls supervise_fini in any case.
 */
int supervise_init(struct supervise *s, struct err *e) must_check;

/*
 * Runs until what `until` names was reached (SUPERVISE_END: never), or both children are gone.
 * control and fs_control are hvrun's ends of the sockets, and
 * owned by s from now on. The exit code is in s->code, the reason in s->err when s->failed.
 */
int supervise_run(struct supervise *s, int control, int fs_control, struct err *e) must_check;

/* Says that a stream of a process ("stdout") takes no more, as the event "lost" tells. */
void supervise_lost(const json_t *event);

/* Ends the container, whose exit code and reason are now these. */
void supervise_end(struct supervise *s, int code, const char *text);

/* The children are to outlive us: the monitor no longer ends with our socket. */
void supervise_detach(struct supervise *s);

/*
 * Ends what still runs, closes everything and restores the signal mask. The monitor has half a
 * second to go by itself, in which it restores the terminal.
 */
void supervise_fini(struct supervise *s);

#endif
