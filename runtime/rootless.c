/* SPDX-License-Identifier: Apache-2.0 */
/* Root, or something like it; see rootless.h. */
#include "runtime/rootless.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"

#define ALL_IDS UINT32_MAX /* what the first namespace maps: every id but -1 */

bool rootless(const char *map)
{
	uint32_t inside, outside, count;
	char text[64];

	if (geteuid() != 0 && !map)
		return true;
	cleanup_close int fd = open(map ? map : "/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	/* A kernel without user namespaces has no map. */
	if (sscanf(text, "%" SCNu32 " %" SCNu32 " %" SCNu32, &inside, &outside, &count) != 3)
		return false;
	return inside != 0 || outside != 0 || count != ALL_IDS;
}
