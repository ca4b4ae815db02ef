/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One object of the plan while it is read, and the keys that were taken from it. Every function
 * that returns an int returns 0, or -errno with the fault and the key's path in the object's error.
 */
#ifndef MICROVM_VMM_PLAN_OBJECT_H
#define MICROVM_VMM_PLAN_OBJECT_H

#include <jansson.h>
#include <stdbool.h>

#include "microvm/vmm/plan.h"

#define OBJECT_KEYS_MAX 32

struct plan_object {
	const json_t *json;
	const char *path; /* "" for the plan itself, else "fs." */
	const char *taken[OBJECT_KEYS_MAX];
	unsigned n_taken;
	struct err *e;
};

/* The value, borrowed; NULL when it is not there, which is an error if it is required. */
json_t *plan_take(struct plan_object *o, const char *key, bool required);
int plan_wrong(const struct plan_object *o, const char *key, const char *want);
int plan_take_object(struct plan_object *o, const char *key, const char *path,
	struct plan_object *out) must_check;
int plan_take_integer(struct plan_object *o, const char *key, json_int_t min, json_int_t max,
	json_int_t *out) must_check;
int plan_take_bool(struct plan_object *o, const char *key, bool *out) must_check; /* optional */
int plan_take_string(struct plan_object *o, const char *key, bool required, size_t max,
	const char **out) must_check;
/* A descriptor that becomes the plan's; see plan_parse. */
int plan_take_fd(struct plan_object *o, const char *key, int *out) must_check;
int plan_own_fd(
	const struct plan_object *o, const char *key, json_int_t number, int *out) must_check;
/* After all keys were taken: any that is left is refused. */
int plan_finish(const struct plan_object *o) must_check;

/* Names that end up between the commas of another program's arguments, or in a device. */
bool plan_is_plain_name(const char *name);

/* The key `net`; plan_net.c. */
int plan_read_net(struct plan *plan, struct plan_object *top) must_check;

#endif
