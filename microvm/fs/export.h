/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exported trees: one entry of the synthetic root for each. Exports are only ever added, and
 * live as long as the server; their numbers and pointers never change.
 */
#ifndef MICROVM_FS_EXPORT_H
#define MICROVM_FS_EXPORT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"

#define EXPORTS_MAX 1024

/* How long the guest may trust what it has cached; docs/filesystem.md says what that means. */
enum cache_policy {
	CACHE_AUTO,
	CACHE_NEVER,
	CACHE_ALWAYS,
};

struct export
{
	unsigned index;
	char *name;
	char *path;  /* for messages */
	int fd;	     /* O_PATH, owned */
	mode_t type; /* S_IFMT bits */
	bool readonly, nodev, nosuid, host_locks;
	bool recursive; /* what is mounted below is part of it */
	bool one_mount; /* fd leads to more than that: lookups must not cross into other mounts */
	enum cache_policy cache;
};

struct exports {
	pthread_mutex_t lock;
	unsigned n;
	bool host_locks; /* one of them wants host locks */
	struct export *items[EXPORTS_MAX];
};

int exports_init(struct exports *exports) must_check;
void exports_fini(struct exports *exports);

/* Takes proto->fd over (also on failure) and copies the strings. */
int exports_add(struct exports *exports, const struct export *proto, struct err *e) must_check;

/* By name or by number; NULL when there is none. Any thread. */
struct export *exports_find(struct exports *exports, const char *name);
struct export *exports_at(struct exports *exports, unsigned index);

#endif
