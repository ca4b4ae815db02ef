/* SPDX-License-Identifier: Apache-2.0 */
/* The container's process; see process.h. The order is that of runc's init. */
#include "guestinit/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/ioprio.h>
#include <linux/magic.h>
#include <linux/sched/types.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/caps.h"
#include "guestinit/create.h"
#include "guestinit/path.h"
#include "guestinit/seccomp.h"
#include "guestinit/syscalls.h"

#define PROCESS_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PROCESS_PASSWD_BYTES (1u << 20)

/* The kernel's bound of RLIMIT_NOFILE, or 0. What is at /proc may be the image's own. */
static unsigned long process_files_max(void)
{
	cleanup_close int fd =
		open("/proc/sys/fs/nr_open", O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	char text[32] = "";
	struct statfs fs;

	if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC ||
		read(fd, text, sizeof(text) - 1) < 0)
		return 0;
	return strtoul(text, NULL, 10);
}

static int process_limit_fault(const struct cfg_rlimit *limit, size_t i, int code, struct err *e)
{
	bool files = code == EPERM && limit->resource == RLIMIT_NOFILE;
	unsigned long most = files ? process_files_max() : 0;

	if (most && limit->hard > most)
		return err_sys(e, code,
			"config.process.rlimits[%zu].hard: %" PRIu64
			" is more than the guest's fs.nr_open, %lu",
			i, limit->hard, most);
	return err_sys(e, code, "config.process.rlimits[%zu] (%s)", i, limit->type);
}

int process_set_limits(pid_t pid, const struct create *c, struct err *e)
{
	for (size_t i = 0; i < c->process.rlimits.n; i++) {
		const struct cfg_rlimit *limit = &c->process.rlimits.v[i];
		struct rlimit r = {.rlim_cur = limit->soft, .rlim_max = limit->hard};
		if (prlimit(pid, (enum __rlimit_resource)limit->resource, &r, NULL) < 0)
			return process_limit_fault(limit, i, errno, e);
	}
	return 0;
}

static int process_set_scheduler(const struct cfg_scheduler *s, struct err *e)
{
	struct sched_attr attr = {
		.size = sizeof(attr),
		.sched_policy = s->policy,
		.sched_flags = s->flags,
		.sched_nice = (int32_t)s->nice.value,
		.sched_priority = (uint32_t)s->priority.value,
		.sched_runtime = s->runtime.value,
		.sched_deadline = s->deadline.value,
		.sched_period = s->period.value,
	};

	if (syscall(SYS_sched_setattr, 0, &attr, 0) < 0)
		return err_sys(e, errno, "config.process.scheduler");
	return 0;
}

int process_set_scheduling(const struct create *c, struct err *e)
{
	const struct cfg_io_priority *io = &c->process.io_priority;

	if (c->process.scheduler.set) {
		int ret = process_set_scheduler(&c->process.scheduler, e);
		if (ret < 0)
			return ret;
	}
	if (io->set) {
		int value = (int)IOPRIO_PRIO_VALUE(io->class_number, (int)io->priority.value);
		if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) < 0)
			return err_sys(e, errno, "config.process.ioPriority");
	}
	if (c->os.personality) {
		bool is32 = strcmp(c->os.personality, "LINUX32") == 0;
		if (personality(is32 ? PER_LINUX32 : PER_LINUX) < 0)
			return err_sys(e, errno, "config.linux.personality");
	}
	return 0;
}

int process_make_cwd(int root_fd, const struct create *c, struct err *e)
{
	cleanup_close int fd = path_make(root_fd, c->process.cwd, S_IFDIR);

	if (fd >= 0 || fd == -EROFS || fd == -EACCES)
		return 0; /* chdir has the last word */
	return err_sys(e, -fd, "config.process.cwd: %s", c->process.cwd);
}

static int process_set_user(const struct cfg_user *user, struct err *e)
{
	cleanup_free gid_t *groups = calloc(user->groups.n + 1, sizeof(*groups));

	if (!groups)
		return err_set(e, ENOMEM, "config.process.user: out of memory");
	for (size_t i = 0; i < user->groups.n; i++)
		groups[i] = user->groups.v[i].gid;
	if (setgroups(user->groups.n, groups) < 0)
		return err_sys(e, errno, "config.process.user.additionalGids");
	if (setresgid(user->gid, user->gid, user->gid) < 0)
		return err_sys(e, errno, "config.process.user.gid: %u", user->gid);
	if (setresuid(user->uid, user->uid, user->uid) < 0)
		return err_sys(e, errno, "config.process.user.uid: %u", user->uid);
	return 0;
}

/* The working directory may be open to root alone or to the user alone: one of both must get in. */
static int process_enter_cwd(const char *cwd, bool last, struct err *e)
{
	char now[PATH_MAX], reason[ERR_REASON_BYTES];

	if (chdir(cwd) < 0) {
		int code = errno;
		if (!last && code == EACCES)
			return -EACCES;
		/* In runc's words. */
		return err_set(e, code, "chdir to cwd (\"%s\") set in config.json failed: %s", cwd,
			err_reason(code, reason));
	}
	/* A directory outside of the root would show here as "(unreachable)…". */
	if (syscall(SYS_getcwd, now, sizeof(now)) < 0)
		return err_sys(e, errno, "config.process.cwd: \"%s\"", cwd);
	if (now[0] != '/')
		return err_set(e, EPERM, "config.process.cwd: \"%s\" is outside of the root", cwd);
	return 0;
}

char *process_home(const char *passwd, uid_t uid)
{
	for (const char *line = passwd; line && *line;) {
		const char *end = line + strcspn(line, "\n");
		const char *field[6] = {line};
		int n = 1;

		for (const char *p = line; p < end && n < 6; p++)
			if (*p == ':')
				field[n++] = p + 1;
		if (n == 6) {
			char *stop;
			unsigned long id = strtoul(field[2], &stop, 10);
			size_t len = strcspn(field[5], ":\n");
			if (stop != field[2] && *stop == ':' && id == uid && len)
				return strndup(field[5], len);
		}
		line = *end ? end + 1 : NULL;
	}
	return NULL;
}

struct variable {
	char *text;
	size_t name_bytes, place;
};

/* By name, then in the order of their places. */
static int variable_compare(const void *left, const void *right)
{
	const struct variable *a = left, *b = right;
	size_t shorter = a->name_bytes < b->name_bytes ? a->name_bytes : b->name_bytes;

	int ret = memcmp(a->text, b->text, shorter);
	if (ret == 0)
		ret = (a->name_bytes > b->name_bytes) - (a->name_bytes < b->name_bytes);
	return ret ? ret : (a->place > b->place) - (a->place < b->place);
}

/*
 * Of variables with the same name only the last one's value, in the first one's place: programs
 * would differ in which they take.
 */
static int environment_unite(char **env, size_t n)
{
	struct variable *all = calloc(n + 1, sizeof(*all));
	size_t first = 0, kept = 0;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		all[i] = (struct variable){env[i], strcspn(env[i], "="), i};
	qsort(all, n, sizeof(*all), variable_compare);
	for (size_t i = 1; i < n; i++) {
		if (all[i].name_bytes != all[first].name_bytes ||
			memcmp(all[i].text, all[first].text, all[first].name_bytes) != 0) {
			first = i;
			continue;
		}
		env[all[first].place] = all[i].text;
		env[all[i].place] = NULL;
	}
	for (size_t i = 0; i < n; i++)
		if (env[i])
			env[kept++] = env[i];
	env[kept] = NULL;
	free(all);
	return 0;
}

/* The environment, with HOME from the container's passwd file where the configuration has none. */
static char **process_environment(const struct create *c)
{
	const struct strings *env = &c->process.env;
	char **out = calloc(env->n + 2, sizeof(*out));
	size_t n = env->n;
	bool home = false;

	if (!out)
		return NULL;
	for (size_t i = 0; i < env->n; i++) {
		out[i] = (char *)(uintptr_t)env->v[i];
		home |= strncmp(env->v[i], "HOME=", 5) == 0 && env->v[i][5];
	}
	if (!home) {
		cleanup_free char *passwd = NULL, *dir = NULL;
		cleanup_close int fd =
			open("/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fd >= 0 && fd_slurp(fd, PROCESS_PASSWD_BYTES, &passwd, NULL) == 0)
			dir = process_home(passwd, c->process.user.uid);
		if (asprintf(&out[n++], "HOME=%s", dir ? dir : "/") < 0) {
			free(out);
			return NULL;
		}
	}
	if (environment_unite(out, n) < 0) {
		free(out); /* and the process with it */
		return NULL;
	}
	return out;
}

static int process_check_file(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
		return -errno;
	return 0;
}

/* In the words of runc, which callers look for: "permission denied", "no such file or directory".
 */
static int process_not_run(const char *what, int code, int *exit_code, struct err *e)
{
	char reason[ERR_REASON_BYTES];

	*exit_code = code == ENOENT || code == ENOTDIR ? 127 : 126;
	return err_set(e, code, "%s: %s", what, err_reason(code, reason));
}

static int process_not_found(const char *name, int code, int *exit_code, struct err *e)
{
	char what[512];

	if (code == EACCES)
		snprintf(what, sizeof(what), "exec: \"%.480s\"", name);
	else
		snprintf(what, sizeof(what), "exec: \"%.240s\": stat %.240s", name, name);
	return process_not_run(what, code, exit_code, e);
}

int process_find(
	const char *name, const char *const *env, char **path, int *exit_code, struct err *e)
{
	const char *dirs = PROCESS_DEFAULT_PATH;
	int denied = 0;

	if (strchr(name, '/')) {
		int ret = process_check_file(name);
		if (ret < 0) /* of a directory, execve says EACCES */
			return process_not_found(
				name, ret == -EISDIR ? EACCES : -ret, exit_code, e);
		*path = strdup(name);
		return *path ? 0 : err_set(e, ENOMEM, "exec: out of memory");
	}
	for (; env && *env; env++)
		if (strncmp(*env, "PATH=", 5) == 0)
			dirs = *env + 5;
	for (const char *dir = dirs; dir;) {
		size_t len = strcspn(dir, ":");
		cleanup_free char *file = NULL;
		/* An empty entry is the working directory. */
		if (asprintf(&file, "%.*s/%s", len ? (int)len : 1, len ? dir : ".", name) < 0)
			return err_set(e, ENOMEM, "exec: out of memory");
		int ret = process_check_file(file);
		if (ret == 0) {
			*path = steal_ptr(&file);
			return 0;
		}
		if (ret == -EACCES)
			denied = EACCES;
		dir = dir[len] ? dir + len + 1 : NULL;
	}
	if (denied)
		return process_not_found(name, denied, exit_code, e);
	*exit_code = 127;
	return err_set(e, ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
}

int process_become(const struct create *c, char **path, char ***env, int *exit_code, struct err *e)
{
	const struct cfg_process *p = &c->process;
	int ret = 0;

	if (p->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "config.process.noNewPrivileges");
	/* Without it, only the privileged may install a filter: now, which costs it some calls. */
	if (c->os.seccomp.set && !p->no_new_privileges) {
		ret = guest_seccomp_install(&c->os.seccomp, e);
		if (ret < 0)
			return ret;
	}
	bool entered = process_enter_cwd(p->cwd, false, e) == 0;
	*env = process_environment(c);
	if (!*env)
		return err_set(e, ENOMEM, "config.process.env: out of memory");
	ret = caps_bound(&p->caps, e);
	if (ret < 0)
		return ret;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "config.process.capabilities");
	ret = process_set_user(&p->user, e);
	if (ret == 0)
		ret = caps_apply(&p->caps, e);
	if (ret == 0 && prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		ret = err_sys(e, errno, "config.process.capabilities");
	if (ret == 0 && !entered)
		ret = process_enter_cwd(p->cwd, true, e);
	if (ret < 0)
		return ret;
	return process_find(p->args.v[0], (const char *const *)*env, path, exit_code, e);
}

int process_exec(
	const struct create *c, const char *path, char **env, int *exit_code, struct err *e)
{
	if (c->os.seccomp.set && c->process.no_new_privileges) {
		int ret = guest_seccomp_install(&c->os.seccomp, e);
		if (ret < 0)
			return ret;
	}
	execve(path, (char *const *)(uintptr_t)c->process.args.v, env);
	int code = errno;
	char what[512];
	snprintf(what, sizeof(what), "exec %.500s", path);
	return process_not_run(what, code, exit_code, e);
}
