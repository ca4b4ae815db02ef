/* SPDX-License-Identifier: Apache-2.0 */
/* Finding programs; see programs.h. */
#include "runtime/programs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBEXEC "/../libexec/hvrun"

int programs_init(struct programs *programs, struct err *e)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n < 0)
		return err_sys(e, errno, "/proc/self/exe (is /proc mounted?)");
	path[n] = '\0';
	char *slash = strrchr(path, '/');
	if (!slash)
		return err_set(e, ENOENT, "/proc/self/exe: %s has no folder", path);
	*slash = '\0';
	memcpy(programs->self_dir, path, (size_t)(slash - path) + 1);
	return 0;
}

int programs_find(
	const struct programs *programs, const char *name, char path[PATH_MAX], struct err *e)
{
	static const char *const places[] = {"", LIBEXEC};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		int n = snprintf(path, PATH_MAX, "%s%s/%s", programs->self_dir, places[i], name);
		if (n < PATH_MAX && access(path, F_OK) == 0)
			return 0;
	}
	return err_set(e, ENOENT, "%s: found neither in %s nor in %s" LIBEXEC, name,
		programs->self_dir, programs->self_dir);
}

int programs_which(const char *name, char path[PATH_MAX], struct err *e)
{
	if (strchr(name, '/')) {
		if (snprintf(path, PATH_MAX, "%s", name) >= PATH_MAX)
			return err_sys(e, ENAMETOOLONG, "%s", name);
		return access(path, X_OK) == 0 ? 0 : err_sys(e, errno, "%s", name);
	}
	const char *dirs = getenv("PATH");
	if (!dirs || !*dirs)
		dirs = "/usr/local/bin:/usr/bin:/bin";
	while (*dirs) {
		size_t n = strcspn(dirs, ":");
		if (n && snprintf(path, PATH_MAX, "%.*s/%s", (int)n, dirs, name) < PATH_MAX &&
			access(path, X_OK) == 0)
			return 0;
		dirs += n + (dirs[n] == ':');
	}
	return err_set(e, ENOENT, "%s: not found on PATH", name);
}
