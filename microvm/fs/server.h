/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-fs device (virtio 1.2, 5.11): takes FUSE requests from the queues to the session and
 * decides which thread serves them. Queue 0 is the high-priority one (FORGET), the others carry
 * requests.
 *
 * A wake-up of another thread costs more than most requests. So the loop's thread, which the kick
 * has woken anyway, serves light requests itself, one after the other, and hands to workers what
 * waits for storage by its nature (fsync), what turned out to wait (data that are not in the page
 * cache, kinds of request that were slow lately), and what is too much for one thread. Workers
 * are started when they are first needed.
 */
#ifndef MICROVM_FS_SERVER_H
#define MICROVM_FS_SERVER_H

#include "base/err.h"
#include "base/loop.h"
#include "microvm/fs/session.h"
#include "microvm/virtio/device.h"

#define FS_WORKERS_MAX 64

struct fs_server;

/*
 * session_config->complete and arg are set by the server. workers: at most so many threads beside
 * the loop's, at least 1. Must be called by the thread that runs the loop.
 */
int fs_server_create(struct fs_server **out, struct loop *loop,
	const struct fuse_session_config *session_config, unsigned workers,
	struct err *e) must_check;

/* Once the device is stopped (its transport is gone). */
void fs_server_free(struct fs_server *server);

struct virtio_device *fs_server_device(struct fs_server *server);

#endif
