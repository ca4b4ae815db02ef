/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hvrun-vmm and hvrun-fs without their confinement, for tests/bench/confinement: what the linker
 * puts in the place of the functions that give up rights (ld --wrap). All other object files are
 * those of the programs; no option of a release does this.
 */
#include <errno.h>

#include "microvm/confine/filter.h"
#include "microvm/fs/sandbox.h"
#include "microvm/vmm/confine.h"
#include "microvm/vmm/root.h"

/* What the linker makes of the names that its option --wrap is given. */
int __wrap_filter_install(const struct filter *filter);
int __wrap_root_own(struct err *e);
int __wrap_confine_descriptors(
	struct plan *plan, const int *others, unsigned n_others, struct err *e);
int __wrap_confine_process(const struct plan *plan, struct err *e);
int __wrap_confine_loop(const struct machine *machine, struct err *e);
int __wrap_fs_sandbox_export(struct export *export, struct err *e);
int __wrap_fs_sandbox_enter(bool privileged, const char **prefix, struct err *e);
int __wrap_fs_sandbox_close(
	bool privileged, const struct exports *exports, bool *bound, struct err *e);

int __wrap_filter_install(const struct filter *filter)
{
	(void)filter;
	return 0;
}

/* As for who has no privileges: the host's root directory stays, and is not left later either. */
int __wrap_root_own(struct err *e)
{
	return err_set(e, EPERM, "not confined");
}

int __wrap_confine_descriptors(
	struct plan *plan, const int *others, unsigned n_others, struct err *e)
{
	(void)plan;
	(void)others;
	(void)n_others;
	(void)e;
	return 0;
}

int __wrap_confine_process(const struct plan *plan, struct err *e)
{
	(void)plan;
	(void)e;
	return 0;
}

int __wrap_confine_loop(const struct machine *machine, struct err *e)
{
	(void)machine;
	(void)e;
	return 0;
}

int __wrap_fs_sandbox_export(struct export *export, struct err *e)
{
	(void)export;
	(void)e;
	return 0;
}

int __wrap_fs_sandbox_enter(bool privileged, const char **prefix, struct err *e)
{
	(void)privileged;
	(void)e;
	*prefix = "/proc/self/fd/";
	return 0;
}

int __wrap_fs_sandbox_close(
	bool privileged, const struct exports *exports, bool *bound, struct err *e)
{
	(void)privileged;
	(void)exports;
	(void)e;
	*bound = false;
	return 0;
}
