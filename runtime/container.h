/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a container between two commands: the directory ROOT/ID.
 *
 *   state.json    what its programs are and where; each change is a new file that takes the name
 *   config.json   the bundle's configuration as it was when the container was created
 *   monitor.sock  on which the monitor listens
 *   lock          flock(2): held by a command that changes the container
 *   run           flock(2): held by all programs of a container that is not to outlive its hvrun:
 *                 one that is still being made, or that a foreground `run` will delete. Without
 *                 the lock it is a leftover, and whoever needs the name may take it.
 *
 * A directory appears under its name with its lock held, and disappears by a rename, so that no
 * command ever sees half of one.
 */
#ifndef RUNTIME_CONTAINER_H
#define RUNTIME_CONTAINER_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define CONTAINER_ID_MAX_BYTES 200

enum container_status {
	CONTAINER_CREATING,
	CONTAINER_CREATED,
	CONTAINER_RUNNING,
	CONTAINER_PAUSED,
	CONTAINER_STOPPED,
};

struct container {
	char id[CONTAINER_ID_MAX_BYTES + 1];
	int root, dir; /* descriptors of ROOT and ROOT/ID, -1 */
	int lock, run; /* -1 when not held */
	json_t *state; /* of state.json */
};

/* The state of a process that may have ended, and whose pid may have been given to another. */
struct container_process {
	pid_t pid; /* 0: none */
	uint64_t start_ticks;
};

/* The characters that runc allows: letters, digits and _ + - . but not "." and "..". */
int container_check_id(const char *id, struct err *e) must_check;

/* Makes up an id, into a buffer of CONTAINER_ID_MAX_BYTES + 1. */
int container_make_id(char *id, struct err *e) must_check;

/* The root directory: path, or the default when it is NULL: /run/hvrun, or
 * $XDG_RUNTIME_DIR/hvrun when not root. */
int container_root_path(const char *path, char out[PATH_MAX], struct err *e) must_check;

/*
 * The path of a file in the default root directory, which all containers of this user share,
 * whatever root directory they are in; where that can't be written, in this one.
 */
int container_common_path(
	const char *root, const char *name, char out[PATH_MAX], struct err *e) must_check;

/* No descriptors, no state; for container_close in any case. */
void container_init(struct container *c);

/*
 * Makes the container's directory, with `lock` and `run` held, in a root that is made if need be.
 * -EEXIST when there is one that is no leftover.
 */
int container_new(
	struct container *c, const char *root_path, const char *id, struct err *e) must_check;

/* From here on the container outlives the command: `run` is gone. */
int container_keep(struct container *c, struct err *e) must_check;

/* Opens an existing one and reads its state. -ENOENT with runc's "does not exist". */
int container_open(
	struct container *c, const char *root_path, const char *id, struct err *e) must_check;

/* Waits for the lock and reads the state again. -ENOENT when it has been deleted meanwhile. */
int container_lock(struct container *c, struct err *e) must_check;

/* Lets others in, even where a child holds the descriptor, too. */
void container_unlock(struct container *c);

/* Writes c->state as state.json: all of it or nothing. */
int container_save(struct container *c, struct err *e) must_check;

/* Removes the directory; c stays to be closed. Its processes and cgroup are the caller's. */
int container_remove_dir(struct container *c, struct err *e) must_check;

/*
 * Removes what commands that were killed have left of directories; what is in use stays. root_path
 * is --root, or NULL.
 */
void container_sweep(const char *root_path);

void container_close(struct container *c);
#define cleanup_container __attribute__((cleanup(container_close)))

/* ".monitor" and ".fs" of the state; pid 0 when there is none. */
struct container_process container_process(const struct container *c, const char *name);
json_t *container_process_json(pid_t pid);

/* Whether it lives: a zombie does not. */
bool container_process_alive(const struct container_process *process);

/* Waits until it is gone, patience_ms at the most. */
void container_process_await(const struct container_process *process, int patience_ms);

/* SIGKILL, and waits until it is gone. */
void container_process_kill(const struct container_process *process);

/* What the container is doing, as its monitor says; never fails. */
enum container_status container_status(const struct container *c);
const char *container_status_name(enum container_status status);

/*
 * The state as the OCI runtime specification 1.3 has it ("state"), a new reference; NULL without
 * memory. pid is left out when it has none.
 */
json_t *container_oci_state(const struct container *c, enum container_status status);

#endif
