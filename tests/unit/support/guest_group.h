/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests with containers in a guest_box have in common: a group of tests with a box, each
 * skipped where this machine does not let us; a configuration; steps and the events after them.
 */
#ifndef TESTS_GUEST_GROUP_H
#define TESTS_GUEST_GROUP_H

#include <jansson.h>

#include "tests/unit/support/guest_box.h"

/* A step says what it needs. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define NAMESPACES                                                                                 \
	"\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"uts\"},"              \
	"{\"type\":\"ipc\"},{\"type\":\"network\"},{\"type\":\"cgroup\"}]"

#define MOUNTS                                                                                     \
	"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"                       \
	"{\"destination\":\"/"                                                                     \
	"dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\","                   \
	"\"strictatime\",\"mode=755\",\"size=65536k\"]},"                                          \
	"{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":["    \
	"\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\"]},"                 \
	"{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\",\"options\":["        \
	"\"nosuid\",\"noexec\",\"nodev\",\"mode=1777\",\"size=65536k\"]},"                         \
	"{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":["          \
	"\"nosuid\",\"noexec\",\"nodev\",\"ro\"]},"                                                \
	"{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\","           \
	"\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"relatime\",\"ro\"]}"

/* `sh -c script`; process and linux_ are further JSON members, each with a comma in front. */
#define CONFIG(script, process, linux_)                                                            \
	"{\"process\":{\"args\":[\"sh\",\"-c\",\"" script "\"],\"cwd\":\"/\",\"env\":["            \
	"\"PATH=/bin\"]" process "},\"mounts\":[" MOUNTS "],\"linux\":{" NAMESPACES linux_ "}}"

#define KILL "{\"type\":\"kill\",\"signal\":9}"

/* Of the last run. */
extern struct guest_box_result result;

/* Runs a container of the configuration with the steps behind it. */
void run_steps(const char *config, const struct guest_box_step *steps, int n);

#define RUN(config, ...)                                                                           \
	do {                                                                                       \
		const struct guest_box_step steps_[] = {__VA_ARGS__};                              \
		run_steps(config, steps_, (int)(sizeof(steps_) / sizeof(steps_[0])));              \
	} while (0)

/* The first event that contains the text; the caller's reference. */
json_t *find_event(const char *text);

/* A member that must be a number. */
json_int_t number(const json_t *object, const char *key);

/* Set-up and end of a group: *state is the box's directory, or NULL where there is none. */
int group_begin(void **state);
int group_end(void **state);

/* Skips a test where there is no box. */
int test_begin(void **state);

#define TEST(name) cmocka_unit_test_setup(name, test_begin)

#endif
