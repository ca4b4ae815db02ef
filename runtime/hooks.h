/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks of a bundle (runtime-spec, "POSIX-platform Hooks"): programs of the host that run at the
 * turning points of a container's life, with its state on stdin. Those of kind startContainer are
 * not here: they run inside the virtual machine, and guestinit starts them.
 */
#ifndef RUNTIME_HOOKS_H
#define RUNTIME_HOOKS_H

#include <jansson.h>

#include "base/err.h"

struct report;

struct hooks_env {
	const char *bundle; /* working directory, as with runc; "/" where it is gone */
	int netns; /* the container's network namespace, for createContainer hooks; -1: none */
	const struct report *report; /* where warnings go; NULL: the log on stderr */
};

/*
 * Runs the hooks of one kind ("prestart", "createRuntime", "createContainer", "poststart",
 * "poststop"), one after the other. hooks is config.hooks (NULL: none), state the container's
 * state as it is to be told. A hook sees nothing of hvrun: no descriptor but the standard ones,
 * every signal as it was by default, no environment but its own; it has a process group of its
 * own, and dies with hvrun.
 *
 * The first hook that fails ends it, with a message in runc's words. It fails by an exit code, a
 * signal, or when it takes longer than its timeout: then its process group is killed. With
 * poststop, failures are warnings, and the rest goes on. Until the container runs, one of SIGINT,
 * SIGQUIT, SIGHUP and SIGTERM that is blocked and pending ends a hook, too: nothing else could
 * interrupt one that hangs. The signal stays pending. 0, or -errno with e (-EINTR in that case).
 */
int hooks_run(const json_t *hooks, const char *kind, const json_t *state,
	const struct hooks_env *env, struct err *e) must_check;

#endif
