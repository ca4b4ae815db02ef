/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that have started others. */
#ifndef TESTS_UNIT_SUPPORT_FAMILY_H
#define TESTS_UNIT_SUPPORT_FAMILY_H

#include <sys/types.h>

#define FAMILY 4 /* processes: the first, two children of it, a child of the second of these */

/* Starts them; all sleep, and are killed when their parent ends. The pid of the first. */
pid_t family(void);

#endif
