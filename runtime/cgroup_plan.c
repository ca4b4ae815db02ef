/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a container's cgroup lies: what is mounted, where hvrun itself is, and runc's rules for
 * linux.cgroupsPath. Nothing is changed here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/cgroup_internal.h"

#define PROC_FILE_MAX_BYTES (16u << 20) /* mountinfo of a host with thousands of containers */
#define UNIT_NAME_MAX_BYTES 255
#define UNIT_NAME_CHARS	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.\\@-"

bool cgroup_list_has(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *item = list; item; item = strchr(item, ',')) {
		item += *item == ',';
		if (strncmp(item, name, len) == 0 && (!item[len] || item[len] == ','))
			return true;
	}
	return false;
}

void cgroup_host_fini(struct cgroup_host *host)
{
	for (size_t i = 0; i < host->n; i++) {
		free(host->mounts[i].controllers);
		free(host->mounts[i].point);
		free(host->mounts[i].root);
		free(host->mounts[i].own);
	}
	host->n = 0;
}

static int proc_slurp(
	const char *proc, const char *who, const char *file, char **text, struct err *e)
{
	cleanup_close int fd = -1;
	char path[PATH_MAX];
	size_t len;
	int r;

	if (snprintf(path, sizeof(path), "%s/%s/%s", proc ? proc : "/proc", who, file) >=
		(int)sizeof(path))
		return err_sys(e, ENAMETOOLONG, "/proc");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "%s", path);
	r = fd_slurp(fd, PROC_FILE_MAX_BYTES, text, &len);
	return r < 0 ? err_sys(e, -r, "%s", path) : 0;
}

/* mountinfo writes blanks and the like as \ooo. */
static void unescape(char *text)
{
	char *out = text;

	for (const char *in = text; *in; out++) {
		if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' && in[2] <= '7' &&
			in[3] >= '0' && in[3] <= '7') {
			*out = (char)((in[1] - '0') << 6 | (in[2] - '0') << 3 | (in[3] - '0'));
			in += 4;
		} else {
			*out = *in++;
		}
	}
	*out = '\0';
}

/* Takes one line of mountinfo for the mount that it is about, if it is one of ours. */
static int mount_line(struct cgroup_host *host, char *line)
{
	char *rest = strstr(line, " - "), *save = NULL, *field[5], *type, *options;

	if (!rest)
		return 0;
	*rest = '\0';
	type = strtok_r(rest + 3, " ", &save);
	if (!type || strncmp(type, "cgroup", 6) != 0 || !strtok_r(NULL, " ", &save))
		return 0;
	options = strtok_r(NULL, " ", &save);
	for (size_t i = 0; i < 5; i++) {
		field[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!field[i])
			return 0;
	}
	unescape(field[3]);
	unescape(field[4]);
	for (size_t i = 0; i < host->n; i++) {
		struct cgroup_mount *mount = &host->mounts[i];
		char first[NAME_MAX + 1];
		bool v2 = !mount->controllers[0];
		snprintf(first, sizeof(first), "%.*s", (int)strcspn(mount->controllers, ","),
			mount->controllers);
		if (mount->point || v2 != (strcmp(type, "cgroup2") == 0) ||
			(!v2 && (!options || !cgroup_list_has(options, first))))
			continue;
		mount->root = strdup(field[3]);
		mount->point = strdup(strcmp(field[4], "/") == 0 ? "" : field[4]);
		return mount->root && mount->point ? 0 : -ENOMEM;
	}
	return 0;
}

/* "ID:CONTROLLERS:PATH". Of named hierarchies systemd's alone counts, as with runc. */
static int own_line(struct cgroup_host *host, char *line)
{
	char *controllers = strchr(line, ':'), *path;
	struct cgroup_mount *mount = &host->mounts[host->n];

	path = controllers ? strchr(controllers + 1, ':') : NULL;
	if (!path || path[1] != '/' || host->n == CGROUP_PLACES_MAX)
		return 0;
	*path++ = '\0';
	controllers++;
	if (strncmp(controllers, "name=", 5) == 0 && strcmp(controllers, "name=systemd") != 0)
		return 0;
	*mount = (struct cgroup_mount){.controllers = strdup(controllers), .own = strdup(path)};
	host->n++;
	return mount->controllers && mount->own ? 0 : -ENOMEM;
}

/*
 * Drops what is not mounted. Where v1 has none of the controllers that limits are about, the host
 * is a v2 one, whatever else is mounted for somebody's own use.
 */
static void keep_used(struct cgroup_host *host)
{
	bool v1 = false, v2 = false;
	size_t n = 0;

	for (size_t i = 0; i < host->n; i++) {
		const struct cgroup_mount *mount = &host->mounts[i];
		if (!mount->point)
			continue;
		v2 |= !mount->controllers[0];
		v1 |= cgroup_list_has(mount->controllers, "memory") ||
			cgroup_list_has(mount->controllers, "cpu") ||
			cgroup_list_has(mount->controllers, "pids");
	}
	for (size_t i = 0; i < host->n; i++) {
		struct cgroup_mount mount = host->mounts[i];
		if (mount.point && (v1 || !v2 || !mount.controllers[0])) {
			host->mounts[n++] = mount;
			continue;
		}
		free(mount.controllers);
		free(mount.point);
		free(mount.root);
		free(mount.own);
	}
	host->n = n;
}

int cgroup_host_read(struct cgroup_host *host, const char *proc, const char *who, struct err *e)
{
	cleanup_free char *own = NULL, *mounts = NULL;
	char *save = NULL;
	int r;

	memset(host, 0, sizeof(*host));
	r = proc_slurp(proc, who, "cgroup", &own, e);
	if (r < 0)
		return r == -ENOENT && strcmp(who, "self") == 0 ? 0 : r; /* no cgroups at all */
	r = proc_slurp(proc, "self", "mountinfo", &mounts, e);
	if (r < 0)
		return r;
	for (char *line = strtok_r(own, "\n", &save); line && !r;
		line = strtok_r(NULL, "\n", &save))
		r = own_line(host, line);
	for (char *line = strtok_r(mounts, "\n", &save); line && !r;
		line = strtok_r(NULL, "\n", &save))
		r = mount_line(host, line);
	if (r < 0) {
		cgroup_host_fini(host);
		return err_sys(e, -r, "/proc/%s/cgroup", who);
	}
	keep_used(host);
	return 0;
}

const char *cgroup_mount_own(const struct cgroup_mount *mount)
{
	size_t len = strlen(mount->root);
	const char *own = mount->own;

	/* In a container without a cgroup namespace, part of the path is above what is mounted. */
	if (len > 1) {
		if (strncmp(own, mount->root, len) != 0 || (own[len] && own[len] != '/'))
			return "";
		own += len;
	}
	/* "/../x": outside the cgroup namespace, so nothing that could be reached from here. */
	if (strncmp(own, "/..", 3) == 0 || strcmp(own, "/") == 0)
		return "";
	return own;
}

int cgroup_place_append(
	struct cgroup *cg, const char *controllers, const char *path, size_t root_len)
{
	struct cgroup_place *place = &cg->places[cg->n];

	if (cg->n == CGROUP_PLACES_MAX || strlen(path) > PATH_MAX - NAME_MAX - 2)
		return -ENAMETOOLONG;
	*place = (struct cgroup_place){.controllers = strdup(controllers),
		.path = strdup(path),
		.root_len = root_len,
		.procs_fd = -1,
		.lock_fd = -1};
	if (!place->controllers || !place->path) {
		cgroup_place_fini(place);
		return -ENOMEM;
	}
	cg->n++;
	return 0;
}

int cgroup_place_add(
	struct cgroup *cg, const struct cgroup_mount *mount, const char *above, const char *below)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s%s%s", mount->point, above, below) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return cgroup_place_append(cg, mount->controllers, path, strlen(mount->point));
}

/* path as an absolute one without ".", ".." and empty parts; "" for the root. -ENAMETOOLONG. */
static int clean_path(const char *path, char out[PATH_MAX])
{
	size_t used = 0;

	out[0] = '\0';
	while (*path) {
		size_t len = strcspn(path, "/");
		if (len == 2 && strncmp(path, "..", 2) == 0) {
			while (used && out[--used] != '/')
				;
			out[used] = '\0';
		} else if (len && !(len == 1 && *path == '.')) {
			if (used + len + 2 > PATH_MAX)
				return -ENAMETOOLONG;
			out[used++] = '/';
			memcpy(out + used, path, len);
			used += len;
			out[used] = '\0';
		}
		path += len;
		path += *path == '/';
	}
	return 0;
}

static int plan_cgroupfs(struct cgroup *cg, const struct cgroup_spec *spec,
	const struct cgroup_host *host, struct err *e)
{
	bool given = spec->path && *spec->path, absolute = given && spec->path[0] == '/';
	bool v2_only = host->n == 1 && !host->mounts[0].controllers[0];
	char inner[PATH_MAX];
	int r;

	r = clean_path(given ? spec->path : spec->id, inner);
	if (r < 0)
		return err_sys(e, -r, "linux.cgroupsPath");
	/* The root of a hierarchy is nobody's own: its limits and its end would be everybody's. */
	if (!inner[0])
		return err_set(e, EINVAL,
			"linux.cgroupsPath: \"%.64s\" names no cgroup below the root", spec->path);
	for (size_t i = 0; i < host->n; i++) {
		char above[PATH_MAX], *slash;
		snprintf(above, sizeof(above), "%s", cgroup_mount_own(&host->mounts[i]));
		slash = strrchr(above, '/');
		/* A v2 cgroup with processes can't have others with controllers below it. */
		if (v2_only && slash)
			*slash = '\0';
		r = cgroup_place_add(cg, &host->mounts[i], absolute ? "" : above, inner);
		if (r < 0)
			return err_sys(e, -r, "linux.cgroupsPath");
	}
	return 0;
}

static bool is_unit_name(const char *name, const char *suffix)
{
	size_t len = strlen(name), tail = strlen(suffix);

	return len > tail && len <= UNIT_NAME_MAX_BYTES && strcmp(name + len - tail, suffix) == 0 &&
		!name[strspn(name, UNIT_NAME_CHARS)] && name[0] != '.';
}

/* "a-b.slice" lies at "/a.slice/a-b.slice", "-.slice" at "". -EINVAL for what is not a slice. */
static int expand_slice(const char *slice, char out[PATH_MAX])
{
	size_t used = 0, stem;

	out[0] = '\0';
	if (!is_unit_name(slice, ".slice"))
		return -EINVAL;
	if (strcmp(slice, "-.slice") == 0)
		return 0;
	stem = strlen(slice) - strlen(".slice");
	if (slice[0] == '-' || slice[stem - 1] == '-')
		return -EINVAL;
	for (size_t i = 1; i <= stem; i++) {
		if (slice[i] != '-' && i != stem)
			continue;
		if (slice[i] == '-' && slice[i - 1] == '-')
			return -EINVAL;
		if (used + i + strlen("/.slice") + 1 > PATH_MAX)
			return -EINVAL;
		used += (size_t)snprintf(out + used, PATH_MAX - used, "/%.*s.slice", (int)i, slice);
	}
	return 0;
}

/* The unit's and the slice's names out of "slice:prefix:name". */
static int plan_unit(struct cgroup *cg, const struct cgroup_spec *spec, struct err *e)
{
	const char *path = spec->path && *spec->path ? spec->path : "::", *prefix, *name;
	const char *slice = spec->rootless ? "user.slice" : "system.slice";
	int r = 0;

	prefix = strchr(path, ':');
	name = prefix ? strchr(prefix + 1, ':') : NULL;
	if (!name || strchr(name + 1, ':'))
		return err_set(e, EINVAL,
			"linux.cgroupsPath: expected cgroupsPath to be of format "
			"\"slice:prefix:name\" for systemd cgroups, got \"%.128s\" instead",
			path);
	cg->slice = prefix == path ? strdup(slice) : strndup(path, (size_t)(prefix - path));
	if (strcmp(path, "::") == 0)
		r = asprintf(&cg->unit, "hvrun-%s.scope", spec->id);
	else
		r = asprintf(
			&cg->unit, "%.*s-%s.scope", (int)(name - prefix - 1), prefix + 1, name + 1);
	if (r < 0)
		cg->unit = NULL;
	if (!cg->slice || !cg->unit)
		return err_sys(e, ENOMEM, "cgroup");
	if (!is_unit_name(cg->unit, ".scope"))
		return err_set(e, EINVAL, "linux.cgroupsPath: \"%.128s\" is not a name of a scope",
			cg->unit);
	return 0;
}

static int plan_systemd(struct cgroup *cg, const struct cgroup_spec *spec, struct err *e)
{
	cleanup_host struct cgroup_host host = {0};
	char slice[PATH_MAX], below[PATH_MAX];
	int r = plan_unit(cg, spec, e);

	if (r < 0)
		return r;
	if (expand_slice(cg->slice, slice) < 0)
		return err_set(
			e, EINVAL, "linux.cgroupsPath: invalid slice name: \"%.128s\"", cg->slice);
	cg->user_manager = spec->rootless || geteuid() != 0;
	/* Where a user's manager has its units, it alone knows: cgroup_create asks. */
	if (cg->user_manager)
		return 0;
	if (snprintf(below, sizeof(below), "%s/%s", slice, cg->unit) >= (int)sizeof(below))
		return err_sys(e, ENAMETOOLONG, "linux.cgroupsPath");
	r = cgroup_host_read(&host, spec->proc, "1", e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < host.n; i++) {
		char above[PATH_MAX], *scope;
		snprintf(above, sizeof(above), "%s", cgroup_mount_own(&host.mounts[i]));
		scope = strstr(above, "/init.scope");
		if (scope)
			*scope = '\0';
		r = cgroup_place_add(cg, &host.mounts[i], above, below);
		if (r < 0)
			return err_sys(e, -r, "linux.cgroupsPath");
	}
	return 0;
}

int cgroup_locate(struct cgroup *cg, const struct cgroup_spec *spec, struct err *e)
{
	cleanup_host struct cgroup_host host = {0};
	int r;

	memset(cg, 0, sizeof(*cg));
	if (spec->systemd) {
		r = plan_systemd(cg, spec, e);
	} else {
		r = cgroup_host_read(&host, spec->proc, "self", e);
		if (r == 0)
			r = plan_cgroupfs(cg, spec, &host, e);
	}
	if (r < 0)
		cgroup_fini(cg);
	return r;
}

/*
 * Once planned, a cgroup is written down as the container's own, to be killed with it. So what is
 * in use is refused here already, not only by cgroup_create.
 */
int cgroup_plan(struct cgroup *cg, const struct cgroup_spec *spec, struct err *e)
{
	int r = cgroup_locate(cg, spec, e);

	if (r < 0)
		return r;
	r = cgroup_check_unused(cg, e);
	if (r == 0 && cg->unit)
		r = cgroup_systemd_check(cg, e);
	if (r < 0)
		cgroup_fini(cg);
	return r;
}
