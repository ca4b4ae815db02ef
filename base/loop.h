/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event loop over epoll(7) for one thread. Sources are embedded in their owners and owned by
 * them; the loop only refers to them between loop_add and loop_del. A source may be deleted from
 * within any callback, its own included. loop_add, loop_mod and loop_del may be called by other
 * threads only while the loop's thread is not running; loop_stop may be called by any thread.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/err.h"

#define LOOP_BATCH 32

struct loop_source {
	int fd; /* -1 while not in a loop */
	void (*ready)(struct loop_source *source, uint32_t events);
};

struct loop {
	int epoll_fd;
	int wake_fd; /* eventfd, ends loop_run */
	bool stopping;
	struct epoll_event batch[LOOP_BATCH];
	int batch_len;
	struct loop_source wake;
};

int loop_init(struct loop *loop) must_check;
void loop_fini(struct loop *loop);

/* fd stays the caller's. -EPERM for what epoll does not take (regular files: always ready). */
int loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events) must_check;
int loop_mod(struct loop *loop, struct loop_source *source, uint32_t events) must_check;
void loop_del(struct loop *loop, struct loop_source *source);

/* Runs callbacks until loop_stop; 0 or -errno. */
int loop_run(struct loop *loop) must_check;
void loop_stop(struct loop *loop);

/* Waits at most timeout_ms (-1: without bound) for one batch and runs it; 0 or -errno. */
int loop_run_once(struct loop *loop, int timeout_ms) must_check;

/* A one-shot or periodic timer on CLOCK_MONOTONIC. loop_timer_set(0, 0) disarms. */
struct loop_timer {
	struct loop_source source;
	struct loop *loop;
	void (*expired)(struct loop_timer *timer);
};

int loop_timer_init(struct loop *loop, struct loop_timer *timer,
	void (*expired)(struct loop_timer *timer)) must_check;
int loop_timer_set(struct loop_timer *timer, uint64_t first_ns, uint64_t interval_ns) must_check;
void loop_timer_fini(struct loop_timer *timer);

#endif
