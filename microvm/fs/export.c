/* SPDX-License-Identifier: Apache-2.0 */
/* The exported trees; see export.h. */
#include "microvm/fs/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/fs/request.h"

#if defined(__GNUC__) && !defined(__clang__)
/* gcc 12's analyzer loses track of what a table keeps, and calls it leaked. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

int exports_init(struct exports *exports)
{
	memset(exports, 0, sizeof(*exports));
	return -pthread_mutex_init(&exports->lock, NULL);
}

static void export_free(struct export *x)
{
	if (!x)
		return;
	fd_closep(&x->fd);
	free(x->name);
	free(x->path);
	free(x);
}

void exports_fini(struct exports *exports)
{
	for (unsigned i = 0; i < exports->n; i++)
		export_free(exports->items[i]);
	exports->n = 0;
	pthread_mutex_destroy(&exports->lock);
}

/* 0, or -EINVAL with e filled. */
static int export_check(struct export *x, struct err *e)
{
	struct stat st;
	int flags = fcntl(x->fd, F_GETFL);

	if (name_check(x->name) < 0 || strlen(x->name) > FS_NAME_MAX)
		err_set(e, EINVAL, "export \"%s\": not a name for a directory entry", x->name);
	else if (flags < 0 || fstat(x->fd, &st) < 0)
		err_sys(e, errno, "export %s: descriptor of %s", x->name, x->path);
	else if (!(flags & O_PATH))
		err_set(e, EINVAL, "export %s: %s was not opened with O_PATH", x->name, x->path);
	else if (S_ISLNK(st.st_mode))
		err_set(e, EINVAL, "export %s: %s is a symbolic link", x->name, x->path);
	else {
		x->type = st.st_mode & S_IFMT;
		return 0;
	}
	return -EINVAL;
}

/* A copy that owns proto->fd; NULL without memory, and fd is closed. */
static struct export *export_new(const struct export *proto)
{
	struct export *x = malloc(sizeof(*x));

	if (!x) {
		close(proto->fd);
		return NULL;
	}
	*x = *proto;
	x->name = strdup(proto->name);
	x->path = strdup(proto->path);
	if (x->name && x->path)
		return x;
	export_free(x);
	return NULL;
}

/* Lock held. Takes x over unless it fails. */
static int export_append(struct exports *exports, struct export *x, struct err *e)
{
	for (unsigned i = 0; i < exports->n; i++) {
		if (!strcmp(exports->items[i]->name, x->name)) {
			err_set(e, EEXIST, "export %s: there is one of that name", x->name);
			return -EEXIST;
		}
	}
	if (exports->n == EXPORTS_MAX) {
		err_set(e, ENOSPC, "export %s: %d exports are the most", x->name, EXPORTS_MAX);
		return -ENOSPC;
	}
	x->index = exports->n;
	exports->items[exports->n++] = x;
	exports->host_locks |= x->host_locks;
	return 0;
}

int exports_add(struct exports *exports, const struct export *proto, struct err *e)
{
	struct export *x = export_new(proto);

	if (!x)
		return err_sys(e, ENOMEM, "export %s", proto->name);
	int ret = export_check(x, e);
	if (!ret) {
		pthread_mutex_lock(&exports->lock);
		ret = export_append(exports, x, e);
		pthread_mutex_unlock(&exports->lock);
	}
	if (ret < 0)
		export_free(x);
	return ret;
}

struct export *exports_find(struct exports *exports, const char *name)
{
	struct export *found = NULL;

	pthread_mutex_lock(&exports->lock);
	for (unsigned i = 0; i < exports->n && !found; i++)
		if (!strcmp(exports->items[i]->name, name))
			found = exports->items[i];
	pthread_mutex_unlock(&exports->lock);
	return found;
}

struct export *exports_at(struct exports *exports, unsigned index)
{
	struct export *found;

	pthread_mutex_lock(&exports->lock);
	found = index < exports->n ? exports->items[index] : NULL;
	pthread_mutex_unlock(&exports->lock);
	return found;
}
