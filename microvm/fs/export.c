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

static int export_check(struct export *x, struct err *e)
{
	struct stat st;
	int flags;

	if (name_check(x->name) < 0 || strlen(x->name) > FS_NAME_MAX)
		return err_set(e, EINVAL, "export \"%s\": not a name for a directory entry", x->name);
	flags = fcntl(x->fd, F_GETFL);
	if (flags < 0 || fstat(x->fd, &st) < 0)
		return err_sys(e, errno, "export %s: descriptor of %s", x->name, x->path);
	if (!(flags & O_PATH))
		return err_set(e, EINVAL, "export %s: %s was not opened with O_PATH", x->name, x->path);
	if (S_ISLNK(st.st_mode))
		return err_set(e, EINVAL, "export %s: %s is a symbolic link", x->name, x->path);
	x->type = st.st_mode & S_IFMT;
	return 0;
}

int exports_add(struct exports *exports, const struct export *proto, struct err *e)
{
	struct export *x = malloc(sizeof(*x));
	int ret;

	if (!x) {
		close(proto->fd);
		return err_sys(e, ENOMEM, "export %s", proto->name);
	}
	*x = *proto;
	x->name = strdup(proto->name);
	x->path = strdup(proto->path);
	ret = x->name && x->path ? export_check(x, e)
				 : err_sys(e, ENOMEM, "export %s", proto->name);
	if (ret < 0) {
		export_free(x);
		return ret;
	}
	pthread_mutex_lock(&exports->lock);
	for (unsigned i = 0; i < exports->n && !ret; i++)
		if (!strcmp(exports->items[i]->name, x->name))
			ret = err_set(e, EEXIST, "export %s: there is one of that name", x->name);
	if (!ret && exports->n == EXPORTS_MAX)
		ret = err_set(e, ENOSPC, "export %s: %d exports are the most", x->name, EXPORTS_MAX);
	if (!ret) {
		x->index = exports->n;
		exports->items[exports->n++] = x;
		exports->host_locks |= x->host_locks;
	}
	pthread_mutex_unlock(&exports->lock);
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
