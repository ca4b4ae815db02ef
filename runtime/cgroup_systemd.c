/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The systemd driver: a transient scope, asked for over D-Bus. libsystemd is loaded when it is
 * needed, so that nobody who has no use for it pays for it.
 *
 * A scope starts with a process in it, but the container's processes come later, and want to be in
 * it before they execute anything. So the first one is a child that only waits ("holder"); the
 * scope, delegated, is then a cgroup like any other, until the holder goes. If hvrun is killed
 * meanwhile the holder dies with it, and systemd clears away the empty scope.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "runtime/cgroup_internal.h"
#include "runtime/sizing.h"

#define LIBRARY	      "libsystemd.so.0"
#define MANAGER	      "org.freedesktop.systemd1"
#define MANAGER_PATH  "/org/freedesktop/systemd1"
#define MANAGER_IFACE "org.freedesktop.systemd1.Manager"
#define JOB_TIMEOUT_S 30
#define QUOTA_STEP_US 10000 /* systemd rounds a quota per second to this */
#define PERIOD_US     100000
#define MASK_BITS     1024

/* The functions of libsystemd in use: one list for declaring and for finding them. */
#define FUNCTIONS(F)                                                                               \
	F(sd_bus_open_system)                                                                      \
	F(sd_bus_open_user)                                                                        \
	F(sd_bus_flush_close_unref)                                                                \
	F(sd_bus_call)                                                                             \
	F(sd_bus_call_method)                                                                      \
	F(sd_bus_error_free)                                                                       \
	F(sd_bus_match_signal)                                                                     \
	F(sd_bus_message_append)                                                                   \
	F(sd_bus_message_append_array)                                                             \
	F(sd_bus_message_close_container)                                                          \
	F(sd_bus_message_new_method_call)                                                          \
	F(sd_bus_message_open_container)                                                           \
	F(sd_bus_message_read)                                                                     \
	F(sd_bus_message_unref)                                                                    \
	F(sd_bus_process)                                                                          \
	F(sd_bus_wait)

#define DECLARE(name) __typeof__(name) *name;

struct library {
	void *handle;
	sd_bus *bus;
	FUNCTIONS(DECLARE)
};

static void library_close(struct library *lib)
{
	if (lib->bus)
		lib->sd_bus_flush_close_unref(lib->bus);
	if (lib->handle)
		dlclose(lib->handle);
}
#define cleanup_library __attribute__((cleanup(library_close)))

static int library_open(struct library *lib, bool user, struct err *e)
{
	int r;

	lib->handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!lib->handle) {
		err_set(e, ENOSYS, "--systemd-cgroup needs libsystemd: %s", dlerror());
		return -ENOSYS;
	}
#define FIND(name)                                                                                 \
	*(void **)&lib->name = dlsym(lib->handle, #name);                                          \
	if (!lib->name) {                                                                          \
		err_set(e, ENOSYS, "%s has no %s", LIBRARY, #name);                                \
		return -ENOSYS;                                                                    \
	}
	FUNCTIONS(FIND)
	r = user ? lib->sd_bus_open_user(&lib->bus) : lib->sd_bus_open_system(&lib->bus);
	if (r < 0)
		err_sys(e, -r, "cannot connect to %s over D-Bus",
			user ? "the user's systemd" : "systemd");
	return r < 0 ? r : 0;
}

/* Turns a failed call into an error of ours. */
static int call_failed(struct library *lib, const char *what, const char *unit, int r,
	sd_bus_error *error, struct err *e)
{
	if (error->name)
		r = err_set(e, r < 0 ? -r : EIO, "systemd: %s %s: %s", what, unit,
			error->message ? error->message : error->name);
	else
		r = err_sys(e, -r, "systemd: %s %s", what, unit);
	lib->sd_bus_error_free(error);
	return r;
}

/* One property: name and a variant of a single basic value. */
#define property(lib, message, name, type, value)                                                  \
	(lib)->sd_bus_message_append((message), "(sv)", (name), (type), (value))

/* A list like "0-3,7" as the bytes of a mask, which systemd wants. */
static int property_mask(
	struct library *lib, sd_bus_message *message, const char *name, const char *list)
{
	unsigned long bits[MASK_BITS / 8 / sizeof(unsigned long)];
	size_t len = sizeof(bits);
	int r = sizing_parse_list(list, bits, MASK_BITS);

	if (r < 0)
		return r;
	while (len > 1 && !((const unsigned char *)bits)[len - 1])
		len--;
	r = lib->sd_bus_message_open_container(message, 'r', "sv");
	r = r < 0 ? r : lib->sd_bus_message_append(message, "s", name);
	r = r < 0 ? r : lib->sd_bus_message_open_container(message, 'v', "ay");
	r = r < 0 ? r : lib->sd_bus_message_append_array(message, 'y', bits, len);
	r = r < 0 ? r : lib->sd_bus_message_close_container(message);
	return r < 0 ? r : lib->sd_bus_message_close_container(message);
}

static uint64_t bytes_of(int64_t limit, uint64_t overhead_bytes)
{
	if (limit < 0 || (uint64_t)limit > UINT64_MAX / 2 - overhead_bytes)
		return UINT64_MAX; /* systemd's "infinity" */
	return (uint64_t)limit + overhead_bytes;
}

/* The limits that every systemd knows which has delegation. */
static int append_limits(
	struct library *lib, sd_bus_message *message, const struct cgroup_limits *limits, bool v2)
{
	uint64_t overhead = limits->overhead_bytes;
	int r = 0;

	if (limits->memory || limits->bound_bytes)
		r = property(lib, message, v2 ? "MemoryMax" : "MemoryLimit", "t",
			limits->bound_bytes ? limits->bound_bytes
					    : bytes_of(limits->memory, overhead));
	if (r >= 0 && v2 && limits->low)
		r = property(lib, message, "MemoryLow", "t", bytes_of(limits->low, overhead));
	if (r >= 0 && v2 && limits->swap < 0)
		r = property(lib, message, "MemorySwapMax", "t", UINT64_MAX);
	else if (r >= 0 && v2 && limits->swap && limits->memory > 0)
		r = property(lib, message, "MemorySwapMax", "t",
			(uint64_t)(limits->swap - limits->memory));
	if (r >= 0 && limits->shares)
		r = property(lib, message, v2 ? "CPUWeight" : "CPUShares", "t",
			v2 ? cgroup_cpu_weight(limits->shares) : limits->shares);
	if (r >= 0 && limits->quota_us) {
		uint64_t per_second = UINT64_MAX;
		if (limits->quota_us > 0 && limits->quota_us < INT64_MAX / 1000000) {
			uint64_t period = limits->period_us ? limits->period_us : PERIOD_US;
			per_second = (uint64_t)limits->quota_us * 1000000 / period;
			per_second += QUOTA_STEP_US - 1;
			per_second -= per_second % QUOTA_STEP_US;
		}
		r = property(lib, message, "CPUQuotaPerSecUSec", "t", per_second);
	}
	if (r >= 0 && limits->weight)
		r = property(lib, message, v2 ? "IOWeight" : "BlockIOWeight", "t",
			v2 ? cgroup_io_weight(limits->weight) : (uint64_t)limits->weight);
	if (r >= 0 && limits->pids)
		r = property(lib, message, "TasksMax", "t", (uint64_t)limits->pids);
	return r;
}

/* Those that came later (242, 244). */
static int append_newer(
	struct library *lib, sd_bus_message *message, const struct cgroup_limits *limits)
{
	int r = 0;

	if (limits->period_us)
		r = property(lib, message, "CPUQuotaPeriodUSec", "t", limits->period_us);
	if (r >= 0 && limits->cpus && *limits->cpus)
		r = property_mask(lib, message, "AllowedCPUs", limits->cpus);
	if (r >= 0 && limits->mems && *limits->mems)
		r = property_mask(lib, message, "AllowedMemoryNodes", limits->mems);
	return r;
}

/* Tells a running unit. A systemd too old for the newer ones leaves them to cgroup_limits_write. */
static int set_properties(struct library *lib, const char *unit, const struct cgroup_limits *limits,
	bool newer, bool v2, struct err *e)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *message = NULL;
	int r = lib->sd_bus_message_new_method_call(
		lib->bus, &message, MANAGER, MANAGER_PATH, MANAGER_IFACE, "SetUnitProperties");

	r = r < 0 ? r : lib->sd_bus_message_append(message, "sb", unit, 1);
	r = r < 0 ? r : lib->sd_bus_message_open_container(message, 'a', "(sv)");
	if (r >= 0)
		r = newer ? append_newer(lib, message, limits)
			  : append_limits(lib, message, limits, v2);
	r = r < 0 ? r : lib->sd_bus_message_close_container(message);
	r = r < 0 ? r : lib->sd_bus_call(lib->bus, message, 0, &error, NULL);
	lib->sd_bus_message_unref(message);
	return r < 0 ? call_failed(lib, "SetUnitProperties", unit, r, &error, e) : 0;
}

/* A job that is waited for: its object's path, and how it ended ("" while it has not). */
struct job {
	struct library *lib;
	char path[256];
	char result[32];
};

static int job_removed(sd_bus_message *message, void *arg, sd_bus_error *error)
{
	struct job *job = arg;
	const char *path, *unit, *result;
	uint32_t id;

	(void)error;
	if (job->lib->sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) >= 0 &&
		strcmp(job->path, path) == 0)
		snprintf(job->result, sizeof(job->result), "%s", result);
	return 0;
}

/* Signals that come before the call's reply are kept by libsystemd, so none is missed. */
static int job_watch(struct job *job)
{
	struct library *lib = job->lib;
	int r = lib->sd_bus_match_signal(lib->bus, NULL, MANAGER, MANAGER_PATH, MANAGER_IFACE,
		"JobRemoved", job_removed, job);

	/* Without a subscriber some managers tell nobody. That there is one already is fine. */
	if (r >= 0)
		(void)lib->sd_bus_call_method(lib->bus, MANAGER, MANAGER_PATH, MANAGER_IFACE,
			"Subscribe", NULL, NULL, NULL);
	return r;
}

static int job_wait(struct job *job, const char *what, const char *unit, struct err *e)
{
	struct library *lib = job->lib;
	struct timespec now;
	time_t end;

	clock_gettime(CLOCK_MONOTONIC, &now);
	end = now.tv_sec + JOB_TIMEOUT_S;
	while (!job->result[0]) {
		int r = lib->sd_bus_process(lib->bus, NULL);
		if (r == 0)
			r = lib->sd_bus_wait(lib->bus, 1000000);
		if (r < 0 && r != -EINTR)
			return err_sys(e, -r, "systemd: %s %s", what, unit);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec >= end)
			return err_set(e, ETIMEDOUT, "systemd: %s %s: no end after %d s", what,
				unit, JOB_TIMEOUT_S);
	}
	if (strcmp(job->result, "done") != 0)
		return err_set(e, EIO, "systemd: %s %s: %s", what, unit, job->result);
	return 0;
}

/* Keeps the path of the job that a call's reply names. */
static int job_take(struct job *job, sd_bus_message *reply)
{
	const char *path;
	int r = job->lib->sd_bus_message_read(reply, "o", &path);

	if (r >= 0 && snprintf(job->path, sizeof(job->path), "%s", path) >= (int)sizeof(job->path))
		r = -ENAMETOOLONG;
	return r;
}

/* A child that waits to be killed, and dies with its parent. */
static int start_holder(struct cgroup *cg, struct err *e)
{
	pid_t parent = getpid(), pid = fork();
	sigset_t all;

	if (pid < 0)
		return err_sys(e, errno, "fork");
	if (pid > 0) {
		cg->holder = pid;
		return 0;
	}
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close_range(0, ~0u, 0);
	while (getppid() == parent)
		pause();
	_exit(0);
}

static int append_scope(struct library *lib, sd_bus_message *message, const struct cgroup *cg,
	const struct cgroup_spec *spec, const struct cgroup_limits *limits, bool v2)
{
	static const char *const yes[] = {
		"Delegate", "MemoryAccounting", "CPUAccounting", "TasksAccounting", NULL};
	char description[128];
	int r;

	snprintf(description, sizeof(description), "hvrun container %.64s", spec->id);
	r = property(lib, message, "Description", "s", description);
	r = r < 0 ? r : property(lib, message, "Slice", "s", cg->slice);
	r = r < 0 ? r
		  : lib->sd_bus_message_append(
			    message, "(sv)", "PIDs", "au", 1, (uint32_t)cg->holder);
	r = r < 0 ? r : property(lib, message, "DefaultDependencies", "b", 0);
	r = r < 0 ? r : property(lib, message, v2 ? "IOAccounting" : "BlockIOAccounting", "b", 1);
	for (size_t i = 0; yes[i] && r >= 0; i++)
		r = property(lib, message, yes[i], "b", 1);
	return r < 0 ? r : append_limits(lib, message, limits, v2);
}

/* One StartTransientUnit; *exists says that the name is taken. */
static int call_start(struct job *job, const struct cgroup *cg, const struct cgroup_spec *spec,
	const struct cgroup_limits *limits, bool v2, bool *exists, struct err *e)
{
	struct library *lib = job->lib;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *message = NULL, *reply = NULL;
	int r = lib->sd_bus_message_new_method_call(
		lib->bus, &message, MANAGER, MANAGER_PATH, MANAGER_IFACE, "StartTransientUnit");

	r = r < 0 ? r : lib->sd_bus_message_append(message, "ss", cg->unit, "replace");
	r = r < 0 ? r : lib->sd_bus_message_open_container(message, 'a', "(sv)");
	r = r < 0 ? r : append_scope(lib, message, cg, spec, limits, v2);
	r = r < 0 ? r : lib->sd_bus_message_close_container(message);
	r = r < 0 ? r : lib->sd_bus_message_append(message, "a(sa(sv))", 0);
	r = r < 0 ? r : lib->sd_bus_call(lib->bus, message, 0, &error, &reply);
	r = r < 0 ? r : job_take(job, reply);
	*exists = error.name && strcmp(error.name, MANAGER ".UnitExists") == 0;
	lib->sd_bus_message_unref(message);
	lib->sd_bus_message_unref(reply);
	return r < 0 ? call_failed(lib, "StartTransientUnit", cg->unit, r, &error, e) : 0;
}

/* A unit of the name that has failed only has to be forgotten; one that runs is somebody's. */
static int start_unit(struct library *lib, const struct cgroup *cg, const struct cgroup_spec *spec,
	const struct cgroup_limits *limits, bool v2, struct err *e)
{
	struct job job = {.lib = lib};
	bool exists = false;
	struct err why;
	int r = job_watch(&job);

	if (r < 0)
		return err_sys(e, -r, "systemd");
	r = call_start(&job, cg, spec, limits, v2, &exists, e);
	if (r < 0 && exists) {
		(void)lib->sd_bus_call_method(lib->bus, MANAGER, MANAGER_PATH, MANAGER_IFACE,
			"ResetFailedUnit", NULL, NULL, "s", cg->unit);
		r = call_start(&job, cg, spec, limits, v2, &exists, e);
	}
	if (r < 0)
		return r;
	r = job_wait(&job, "StartTransientUnit", cg->unit, e);
	if (r < 0 && cgroup_systemd_stop(cg, &why) < 0)
		log_debug("%s", why.text);
	return r;
}

/*
 * Where systemd has put the holder is where the scope is. Its own hierarchy says so; the others
 * get the same path below their mount points.
 */
static int find_places(struct cgroup *cg, const struct cgroup_spec *spec, struct err *e)
{
	cleanup_host struct cgroup_host host = {0};
	const struct cgroup_mount *own = NULL;
	char who[16], path[PATH_MAX];
	int r;

	snprintf(who, sizeof(who), "%d", (int)cg->holder);
	r = cgroup_host_read(&host, spec->proc, who, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < host.n; i++) {
		if (strcmp(host.mounts[i].controllers, "name=systemd") == 0 || host.n == 1)
			own = &host.mounts[i];
	}
	if (!own || snprintf(path, sizeof(path), "%s", cgroup_mount_own(own)) >= PATH_MAX)
		return err_set(e, ENOENT, "systemd: no hierarchy of its own is mounted");
	if (!strrchr(path, '/') || strcmp(strrchr(path, '/') + 1, cg->unit) != 0)
		return err_set(
			e, EIO, "systemd: %s: the process in it is in \"%.128s\"", cg->unit, path);
	for (; cg->n > 0; cg->n--)
		cgroup_place_fini(&cg->places[cg->n - 1]);
	for (size_t i = 0; i < host.n; i++) {
		r = cgroup_place_add(cg, &host.mounts[i], "", path);
		if (r < 0)
			return err_sys(e, -r, "cgroup");
	}
	return 0;
}

/* Whether a process of this user can move itself into the scope: by trying. */
static bool can_enter(const struct cgroup *cg)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		bool entered = true;
		for (size_t i = 0; i < cg->n; i++) {
			int r = cgroup_write(cg->places[i].path, "cgroup.procs", "0");
			if (r == -EACCES || r == -EPERM)
				entered = false;
		}
		_exit(entered ? 0 : 1);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool is_v2(const char *proc)
{
	cleanup_host struct cgroup_host host = {0};
	struct err e;

	return cgroup_host_read(&host, proc, "self", &e) == 0 && host.n == 1 &&
		!host.mounts[0].controllers[0];
}

/* A unit that has ended may still be known; its name is free all the same. */
static bool unit_is_over(struct library *lib, const char *object)
{
	sd_bus_message *reply = NULL;
	const char *state = "";
	bool over = lib->sd_bus_call_method(lib->bus, MANAGER, object,
			    "org.freedesktop.DBus.Properties", "Get", NULL, &reply, "ss",
			    "org.freedesktop.systemd1.Unit", "ActiveState") >= 0 &&
		lib->sd_bus_message_read(reply, "v", "s", &state) >= 0 &&
		(strcmp(state, "inactive") == 0 || strcmp(state, "failed") == 0);

	lib->sd_bus_message_unref(reply);
	return over;
}

int cgroup_systemd_check(const struct cgroup *cg, struct err *e)
{
	cleanup_library struct library lib = {0};
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	const char *object;
	int r = library_open(&lib, cg->user_manager, e);

	if (r < 0)
		return r;
	r = lib.sd_bus_call_method(lib.bus, MANAGER, MANAGER_PATH, MANAGER_IFACE, "GetUnit", &error,
		&reply, "s", cg->unit);
	if (r < 0 && error.name && strcmp(error.name, MANAGER ".NoSuchUnit") == 0) {
		lib.sd_bus_error_free(&error);
		return 0;
	}
	if (r < 0)
		return call_failed(&lib, "GetUnit", cg->unit, r, &error, e);
	r = lib.sd_bus_message_read(reply, "o", &object);
	if (r < 0)
		r = err_sys(e, -r, "systemd: GetUnit %s", cg->unit);
	else if (!unit_is_over(&lib, object))
		r = err_set(e, EBUSY, "container's cgroup is not empty: unit %s exists already",
			cg->unit);
	lib.sd_bus_message_unref(reply);
	return r < 0 ? r : 0;
}

int cgroup_systemd_start(struct cgroup *cg, const struct cgroup_spec *spec,
	const struct cgroup_limits *limits, struct err *e)
{
	cleanup_library struct library lib = {0};
	bool v2 = is_v2(spec->proc);
	struct err why;
	int r = library_open(&lib, cg->user_manager, e);

	if (r == 0)
		r = start_holder(cg, e);
	if (r == 0)
		r = start_unit(&lib, cg, spec, limits, v2, e);
	if (r < 0) {
		cgroup_settle(cg);
		return r;
	}
	if ((limits->period_us || limits->cpus || limits->mems) &&
		set_properties(&lib, cg->unit, limits, true, v2, &why) < 0)
		log_info("%s", why.text);
	r = find_places(cg, spec, e);
	if (r == 0 && cg->user_manager)
		cg->attach_late = !can_enter(cg);
	if (r < 0) {
		cgroup_settle(cg);
		if (cgroup_systemd_stop(cg, &why) < 0)
			log_debug("%s", why.text);
	}
	return r;
}

int cgroup_systemd_update(
	const struct cgroup *cg, const struct cgroup_limits *limits, struct err *e)
{
	cleanup_library struct library lib = {0};
	bool v2 = is_v2(NULL);
	struct err why;
	int r = library_open(&lib, cg->user_manager, e);

	if (r == 0)
		r = set_properties(&lib, cg->unit, limits, false, v2, e);
	if (r == 0 && set_properties(&lib, cg->unit, limits, true, v2, &why) < 0)
		log_info("%s", why.text);
	return r;
}

int cgroup_systemd_attach(const struct cgroup *cg, const pid_t *pids, size_t n, struct err *e)
{
	cleanup_library struct library lib = {0};
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *message = NULL;
	int r = library_open(&lib, cg->user_manager, e);

	if (r < 0)
		return r;
	r = lib.sd_bus_message_new_method_call(
		lib.bus, &message, MANAGER, MANAGER_PATH, MANAGER_IFACE, "AttachProcessesToUnit");
	r = r < 0 ? r : lib.sd_bus_message_append(message, "ss", cg->unit, "");
	r = r < 0 ? r : lib.sd_bus_message_append_array(message, 'u', pids, n * sizeof(*pids));
	r = r < 0 ? r : lib.sd_bus_call(lib.bus, message, 0, &error, NULL);
	lib.sd_bus_message_unref(message);
	return r < 0 ? call_failed(&lib, "AttachProcessesToUnit", cg->unit, r, &error, e) : 0;
}

int cgroup_systemd_stop(const struct cgroup *cg, struct err *e)
{
	cleanup_library struct library lib = {0};
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	struct job job = {.lib = &lib};
	int r = library_open(&lib, cg->user_manager, e);

	if (r < 0)
		return r;
	/* Processes that don't heed SIGTERM would keep the unit for a minute and a half. */
	(void)lib.sd_bus_call_method(lib.bus, MANAGER, MANAGER_PATH, MANAGER_IFACE, "KillUnit",
		NULL, NULL, "ssi", cg->unit, "all", SIGKILL);
	r = job_watch(&job);
	r = r < 0 ? r
		  : lib.sd_bus_call_method(lib.bus, MANAGER, MANAGER_PATH, MANAGER_IFACE,
			    "StopUnit", &error, &reply, "ss", cg->unit, "replace");
	r = r < 0 ? r : job_take(&job, reply);
	lib.sd_bus_message_unref(reply);
	if (r < 0 && error.name && strcmp(error.name, MANAGER ".NoSuchUnit") == 0) {
		lib.sd_bus_error_free(&error);
		return 0;
	}
	if (r < 0)
		return call_failed(&lib, "StopUnit", cg->unit, r, &error, e);
	r = job_wait(&job, "StopUnit", cg->unit, e);
	/* A scope whose processes were killed has failed, and its name would stay taken. */
	(void)lib.sd_bus_call_method(lib.bus, MANAGER, MANAGER_PATH, MANAGER_IFACE,
		"ResetFailedUnit", NULL, NULL, "s", cg->unit);
	return r;
}
