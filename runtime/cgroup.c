/* SPDX-License-Identifier: Apache-2.0 */
/* A container's cgroup: made, entered, told of. See cgroup.h. */
#include "runtime/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/savedfiles.h"
#include "base/json.h"
#include "base/log.h"
#include "runtime/cgroup_internal.h"

#define SMALL_FILE_BYTES 4096

int cgroup_write(const char *dir, const char *file, const char *text)
{
	cleanup_close int fd = -1;
	char path[PATH_MAX];
	size_t len = strlen(text);
	ssize_t n;

	if (snprintf(path, sizeof(path), "%s/%s", dir, file) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	n = write(fd, text, len); /* one write is one request */
	return n < 0 ? -errno : (size_t)n == len ? 0 : -EIO;
}

int cgroup_read(const char *dir, const char *file, char *buf, size_t cap_bytes)
{
	cleanup_close int fd = -1;
	char path[PATH_MAX];
	ssize_t n;

	buf[0] = '\0';
	if (snprintf(path, sizeof(path), "%s/%s", dir, file) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	n = read(fd, buf, cap_bytes - 1);
	if (n < 0)
		return -errno;
	while (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = '\0';
	return 0;
}

const struct cgroup_place *cgroup_place_of(const struct cgroup *cg, const char *controller)
{
	const struct cgroup_place *v2 = NULL;

	for (size_t i = 0; i < cg->n; i++) {
		const struct cgroup_place *place = &cg->places[i];
		if (cgroup_place_v2(place))
			v2 = place;
		else if (cgroup_list_has(place->controllers, controller))
			return place;
	}
	/* Beside v1, the v2 hierarchy has the controllers that v1 has left it. */
	return v2;
}

/* In words: a child that was forked meanwhile may have the descriptor still. */
static void unlock_place(struct cgroup_place *place)
{
	struct flock all = {.l_type = F_UNLCK};

	if (place->lock_fd >= 0)
		(void)fcntl(place->lock_fd, F_OFD_SETLK, &all);
	fd_closep(&place->lock_fd);
}

void cgroup_place_fini(struct cgroup_place *place)
{
	free(place->controllers);
	free(place->path);
	fd_closep(&place->procs_fd);
	unlock_place(place);
}

void cgroup_settle(struct cgroup *cg)
{
	for (size_t i = 0; i < cg->n; i++) {
		fd_closep(&cg->places[i].procs_fd);
		unlock_place(&cg->places[i]);
	}
	if (cg->holder > 0) {
		kill(cg->holder, SIGKILL);
		while (waitpid(cg->holder, NULL, 0) < 0 && errno == EINTR)
			;
	}
	cg->holder = 0;
}

void cgroup_fini(struct cgroup *cg)
{
	cgroup_settle(cg);
	for (size_t i = 0; i < cg->n; i++)
		cgroup_place_fini(&cg->places[i]);
	free(cg->unit);
	free(cg->slice);
	memset(cg, 0, sizeof(*cg));
}

/* v1 gives a new cpuset no CPUs and no memory, and nothing can be moved into it. */
static int inherit_cpuset(const char *dir)
{
	static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
	char parent[PATH_MAX], list[SMALL_FILE_BYTES];
	int r = 0;

	snprintf(parent, sizeof(parent), "%s", dir);
	*strrchr(parent, '/') = '\0';
	for (size_t i = 0; i < 2 && r == 0; i++) {
		r = cgroup_read(dir, files[i], list, sizeof(list));
		if (r < 0 || list[0])
			continue;
		r = cgroup_read(parent, files[i], list, sizeof(list));
		if (r == 0)
			r = cgroup_write(dir, files[i], list);
	}
	return r;
}

/*
 * Lets the children of a v2 cgroup have controllers. That it can't be done is seen, and told, when
 * a limit that needs them is set.
 */
static void pass_controllers(const char *dir)
{
	static const char *const wanted[] = {"cpuset", "cpu", "io", "memory", "pids"};
	char have[SMALL_FILE_BYTES], passed[SMALL_FILE_BYTES], word[16];

	if (cgroup_read(dir, "cgroup.controllers", have, sizeof(have)) < 0 ||
		cgroup_read(dir, "cgroup.subtree_control", passed, sizeof(passed)) < 0)
		return;
	for (char *c = have; *c; c++)
		*c = *c == ' ' ? ',' : *c;
	for (char *c = passed; *c; c++)
		*c = *c == ' ' ? ',' : *c;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		int r;
		if (!cgroup_list_has(have, wanted[i]) || cgroup_list_has(passed, wanted[i]))
			continue;
		snprintf(word, sizeof(word), "+%s", wanted[i]);
		r = cgroup_write(dir, "cgroup.subtree_control", word);
		if (r < 0)
			log_debug("%s/cgroup.subtree_control: %s: %s", dir, word, strerror(-r));
	}
}

/* mkdir -p from the mount point on. */
static int make_place(struct cgroup_place *place, struct err *e)
{
	bool v2 = cgroup_place_v2(place), cpuset = cgroup_list_has(place->controllers, "cpuset");
	char dir[PATH_MAX];
	size_t len = place->root_len;

	while (place->path[len]) {
		int r = 0;
		snprintf(dir, sizeof(dir), "%.*s", (int)len, place->path);
		if (v2)
			pass_controllers(dir);
		len += 1 + strcspn(place->path + len + 1, "/");
		snprintf(dir, sizeof(dir), "%.*s", (int)len, place->path);
		if (mkdir(dir, 0755) == 0)
			place->made++;
		else if (errno != EEXIST)
			return err_sys(e, errno, "cgroup: mkdir %s", dir);
		else
			place->made = 0;
		if (cpuset)
			r = inherit_cpuset(dir);
		if (r < 0)
			return err_sys(e, -r, "cgroup: %s: cpuset", dir);
	}
	return 0;
}

static int open_procs(struct cgroup_place *place, struct err *e)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/cgroup.procs", place->path);
	place->procs_fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	return place->procs_fd < 0 ? err_sys(e, errno, "cgroup: %s", path) : 0;
}

/* FNV-1a, for a place in the lock file. */
static off_t hash(const char *text)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (; *text; text++)
		sum = (sum ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return (off_t)(sum >> 2); /* neither negative nor the last one */
}

/*
 * Until its first processes are in, a cgroup looks unused to everybody else: whoever makes it has
 * it locked for that time. Not by one of its own files, all of which any user could open and lock.
 */
static int lock_place(struct cgroup_place *place, const char *lock_path, struct err *e)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = hash(place->path), .l_len = 1};
	struct stat opened, named;
	char path[PATH_MAX];

	if (!lock_path)
		return 0;
	place->lock_fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (place->lock_fd < 0)
		return err_sys(e, errno, "cgroup: %s", lock_path);
	if (fcntl(place->lock_fd, F_OFD_SETLK, &lock) == 0) {
		/* Whoever had the lock before may have removed the cgroup. */
		snprintf(path, sizeof(path), "%s/cgroup.procs", place->path);
		if (fstat(place->procs_fd, &opened) == 0 && stat(path, &named) == 0 &&
			opened.st_ino == named.st_ino)
			return 0;
		return err_set(e, EBUSY, "cgroup: %s: was removed meanwhile", place->path);
	}
	if (errno != EAGAIN && errno != EACCES)
		return err_sys(e, errno, "cgroup: %s: can't lock it", place->path);
	place->made = 0; /* it is the other one's now, though there may be no process in it yet */
	return err_set(e, EBUSY,
		"container's cgroup is not empty: another container is being created in %s",
		place->path);
}

/* Takes back what make_place made, from the bottom; what is in use by now stays. */
static void undo_place(struct cgroup_place *place)
{
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s", place->path);
	for (; place->made > 0; place->made--) {
		if (rmdir(dir) < 0)
			break;
		*strrchr(dir, '/') = '\0';
	}
	place->made = 0;
	fd_closep(&place->procs_fd);
	unlock_place(place); /* last */
}

static void undo(struct cgroup *cg)
{
	for (size_t i = 0; i < cg->n; i++)
		undo_place(&cg->places[i]);
}

static void drop_place(struct cgroup *cg, size_t i)
{
	undo_place(&cg->places[i]);
	cgroup_place_fini(&cg->places[i]);
	memmove(&cg->places[i], &cg->places[i + 1], (--cg->n - i) * sizeof(cg->places[0]));
}

/* As runc: somebody else's processes would count as the container's, and die with it. */
int cgroup_check_unused(const struct cgroup *cg, struct err *e)
{
	char state[SMALL_FILE_BYTES];
	uint64_t frozen;

	for (size_t i = 0; i < cg->n; i++) {
		const struct cgroup_place *place = &cg->places[i];
		long n = cgroup_count_processes(place->path);
		if (n < 0)
			return err_sys(e, (int)-n, "cgroup: %s", place->path);
		if (n > 0)
			return err_set(e, EBUSY,
				"container's cgroup is not empty: %ld process(es) found in %s", n,
				place->path);
		if ((cgroup_read_field(place->path, "cgroup.events", "frozen", &frozen) == 0 &&
			    frozen) ||
			(cgroup_read(place->path, "freezer.state", state, sizeof(state)) == 0 &&
				strcmp(state, "THAWED") != 0))
			return err_set(e, EBUSY, "container's cgroup unexpectedly frozen: %s",
				place->path);
	}
	return 0;
}

static bool is_permission(int r)
{
	return r == -EACCES || r == -EPERM || r == -EROFS;
}

/* The hierarchies that no controller depends on: runc, too, goes on without them. */
static bool is_extra(const struct cgroup *cg, const struct cgroup_place *place)
{
	return strncmp(place->controllers, "name=", 5) == 0 ||
		(cgroup_place_v2(place) && cg->n > 1);
}

static int create_cgroupfs(struct cgroup *cg, const struct cgroup_spec *spec,
	const struct cgroup_limits *limits, struct err *e)
{
	bool optional = spec->rootless && !(spec->path && *spec->path);
	int r = cgroup_check_unused(cg, e);

	for (size_t i = 0; i < cg->n && r == 0;) {
		struct cgroup_place *place = &cg->places[i];
		r = make_place(place, e);
		if (r == 0)
			r = open_procs(place, e);
		if (r == 0)
			r = lock_place(place, spec->lock_path, e);
		if (r < 0 && r != -EBUSY &&
			((optional && is_permission(r)) || is_extra(cg, place))) {
			log_debug("%s: going on without it", e->text);
			drop_place(cg, i);
			r = 0;
			continue;
		}
		i++;
	}
	/* Once more, now that nobody can come in between. */
	if (r == 0)
		r = cgroup_check_unused(cg, e);
	return r < 0 ? r : cgroup_limits_write(limits, cg, e);
}

/* The scope is there; hierarchies that systemd doesn't care for get the same path. */
static int complete_scope(struct cgroup *cg, const struct cgroup_limits *limits, struct err *e)
{
	for (size_t i = 0; i < cg->n;) {
		struct cgroup_place *place = &cg->places[i];
		int r = make_place(place, e);
		if (r == 0)
			r = open_procs(place, e);
		if (r < 0 && ((cg->user_manager && is_permission(r)) || is_extra(cg, place))) {
			log_debug("%s: going on without it", e->text);
			drop_place(cg, i);
			continue;
		}
		if (r < 0)
			return r;
		i++;
	}
	return cgroup_limits_write(limits, cg, e);
}

static int create_systemd(struct cgroup *cg, const struct cgroup_spec *spec,
	const struct cgroup_limits *limits, struct err *e)
{
	struct err why;
	int r = cgroup_systemd_start(cg, spec, limits, e);

	if (r < 0)
		return r;
	r = complete_scope(cg, limits, e);
	if (r < 0) {
		cgroup_settle(cg);
		if (cgroup_systemd_stop(cg, &why) < 0)
			log_debug("%s", why.text);
	}
	return r;
}

int cgroup_create(struct cgroup *cg, const struct cgroup_spec *spec, struct err *e)
{
	struct cgroup_limits limits;
	int r = cgroup_limits_read(
		&limits, spec->resources, spec->overhead_bytes, spec->overhead_pids, e);

	cg->bounded = r == 0 && spec->bound_bytes && !limits.memory &&
		!json_object_get(limits.unified, "memory.max");
	if (cg->bounded)
		limits.bound_bytes = spec->bound_bytes;
	if (r == 0)
		r = cg->unit ? create_systemd(cg, spec, &limits, e)
			     : create_cgroupfs(cg, spec, &limits, e);
	if (r < 0)
		undo(cg);
	return r;
}

size_t cgroup_fds(const struct cgroup *cg, int fds[CGROUP_PLACES_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < cg->n; i++) {
		if (cg->places[i].procs_fd >= 0)
			fds[n++] = cg->places[i].procs_fd;
	}
	return n;
}

static void save_places(const struct cgroup *cg, struct saved_files saved[CGROUP_PLACES_MAX])
{
	static const char *const names[] = {"cpuset.cpus", "cpuset.mems", "memory.limit_in_bytes",
		"memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.max",
		"memory.swap.max", "memory.low", "memory.high", "memory.min", "memory.swap.high",
		"cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.cfs_burst_us",
		"cpu.max", "cpu.max.burst", "cpu.idle", "cpu.weight", "blkio.weight",
		"blkio.bfq.weight", "io.weight", "io.bfq.weight"};

	for (size_t i = 0; i < cg->n; i++) {
		cleanup_close int dir = open(cg->places[i].path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		saved_files_read(&saved[i], dir, names, sizeof(names) / sizeof(names[0]));
	}
}

static void restore_places(
	const struct cgroup *cg, const struct saved_files saved[CGROUP_PLACES_MAX])
{
	for (size_t i = 0; i < cg->n; i++) {
		cleanup_close int dir = open(cg->places[i].path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		int ret = saved_files_restore(&saved[i], dir);
		if (ret < 0)
			log_warn("cgroup: %s: the limits before can't be set again: %s",
				cg->places[i].path, strerror(-ret));
	}
}

static int write_limits(struct cgroup *cg, const struct cgroup_limits *limits, struct err *e)
{
	int r = cgroup_limits_write(limits, cg, e);

	if (r < 0 || !cg->unit)
		return r;
	/* systemd writes what it knows of, and what it takes for the rest: so again. */
	r = cgroup_systemd_update(cg, limits, e);
	return r < 0 ? r : cgroup_limits_write(limits, cg, e);
}

int cgroup_update(struct cgroup *cg, const json_t *resources, uint64_t overhead_bytes,
	uint64_t bound_bytes, struct err *e)
{
	struct cgroup_limits limits;
	int r = cgroup_limits_read(&limits, resources, overhead_bytes, 0, e);

	if (r < 0)
		return r;
	if (limits.memory < 0)
		limits.bound_bytes = bound_bytes;
	struct saved_files *saved = calloc(CGROUP_PLACES_MAX, sizeof(*saved));
	if (!saved)
		return err_sys(e, ENOMEM, "cgroup");
	save_places(cg, saved);
	r = write_limits(cg, &limits, e);
	if (r < 0)
		restore_places(cg, saved);
	free(saved);
	return r;
}

json_t *cgroup_to_json(const struct cgroup *cg)
{
	cleanup_json json_t *places = json_array(), *json = NULL;

	for (size_t i = 0; i < cg->n; i++) {
		const struct cgroup_place *place = &cg->places[i];
		if (json_array_append_new(places,
			    json_pack("{s:s, s:s}", "controllers", place->controllers, "path",
				    place->path)) < 0)
			return NULL;
	}
	json = json_pack("{s:O}", "places", places);
	if (json && cg->unit &&
		(json_object_set_new(json, "unit", json_string(cg->unit)) < 0 ||
			json_object_set_new(json, "slice", json_string(cg->slice)) < 0 ||
			json_object_set_new(json, "userManager", json_boolean(cg->user_manager)) <
				0))
		return NULL;
	return steal_ptr(&json);
}

static int read_place(struct cgroup *cg, const json_t *item)
{
	const char *controllers = json_string_value(json_object_get(item, "controllers"));
	const char *path = json_string_value(json_object_get(item, "path"));

	if (!controllers || !path || path[0] != '/' || !path[1] || strstr(path, "/../"))
		return -EINVAL;
	return cgroup_place_append(cg, controllers, path, 0);
}

int cgroup_from_json(struct cgroup *cg, const json_t *json)
{
	const json_t *places = json_object_get(json, "places"), *item;
	const char *unit = json_string_value(json_object_get(json, "unit"));
	const char *slice = json_string_value(json_object_get(json, "slice"));
	size_t i;
	int r = 0;

	memset(cg, 0, sizeof(*cg));
	if (!json_is_array(places) || json_array_size(places) > CGROUP_PLACES_MAX ||
		!unit != !slice)
		return -EINVAL;
	json_array_foreach (places, i, item) {
		r = read_place(cg, item);
		if (r < 0)
			break;
	}
	if (r == 0 && unit) {
		cg->user_manager = json_is_true(json_object_get(json, "userManager"));
		cg->unit = strdup(unit);
		cg->slice = strdup(slice);
		r = cg->unit && cg->slice ? 0 : -ENOMEM;
	}
	if (r < 0)
		cgroup_fini(cg);
	return r;
}
