/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hvrun-fs as an attacker: what the linker puts between its main.c and what that calls; see
 * attack.h. A copy confines itself as hvrun-fs does; one that does not gets the exported
 * directories themselves, in the place of their private mounts.
 */
#include "tests/attack/attack.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"
#include "microvm/confine/filter.h"
#include "microvm/fs/config.h"
#include "microvm/fs/sandbox.h"

static const struct attempts *const tables[] = {&attempts_files, &attempts_mounts,
	&attempts_processes, &attempts_sockets, &attempts_memory, &attempts_kernel,
	&attempts_exports, NULL};

static const struct exports *all_exports;

int __real_fs_config_read(
	struct fs_config *config, int fd, fs_config_prepare *prepare, struct err *e);
int __real_fs_sandbox_enter(bool privileged, const char **prefix, struct err *e);
int __real_loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events);
int __real_filter_install(const struct filter *filter);

int __wrap_fs_config_read(
	struct fs_config *config, int fd, fs_config_prepare *prepare, struct err *e);
int __wrap_fs_sandbox_enter(bool privileged, const char **prefix, struct err *e);
int __wrap_loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events);
int __wrap_filter_install(const struct filter *filter);

int __wrap_fs_config_read(
	struct fs_config *config, int fd, fs_config_prepare *prepare, struct err *e)
{
	all_exports = &config->exports;
	return __real_fs_config_read(config, fd, prepare, e);
}

/* The export of FOLDER/name, where FOLDER is the test's. */
static int find_export(const char *name, bool confined)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", getenv("HVRUN_ATTACK_DIR"), name);
	for (unsigned i = 0; i < all_exports->n; i++)
		if (!strcmp(all_exports->items[i]->path, path))
			return confined ? all_exports->items[i]->fd
					: open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fprintf(stderr, "attack: %s: not exported\n", path);
	_exit(1);
}

static void choose(struct attack *a, bool confined)
{
	a->export_fd = find_export("export", confined);
	a->readonly_fd = find_export("readonly", confined);
}

/* The first step of the confinement but the private mounts. */
int __wrap_fs_sandbox_enter(bool privileged, const char **prefix, struct err *e)
{
	static const enum attacker attackers[] = {ATTACKER_SERVER, ATTACKER_FREE};

	(void)attack_all("hvrun-fs", tables, attackers, choose);
	return __real_fs_sandbox_enter(privileged, prefix, e);
}

/* A copy has no loop to run, and this one is the original's as well. */
int __wrap_loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events)
{
	return attack_attacker() ? 0 : __real_loop_add(loop, source, fd, events);
}

int __wrap_filter_install(const struct filter *filter)
{
	int ret = __real_filter_install(filter);

	if (ret == 0)
		attack_here(filter->kind, tables);
	return ret;
}
