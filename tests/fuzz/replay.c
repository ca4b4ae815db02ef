/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over files, so that a compiler without libFuzzer can replay the corpora. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		cleanup_close int fd = open(argv[i], O_RDONLY | O_CLOEXEC);
		cleanup_free char *data = NULL;
		size_t len = 0;

		if (fd < 0 || fd_slurp(fd, 64u << 20, &data, &len) < 0) {
			fprintf(stderr, "%s: can't read\n", argv[i]);
			return 1;
		}
		LLVMFuzzerTestOneInput((const uint8_t *)data, len);
	}
	printf("%d inputs replayed\n", argc - 1);
	return 0;
}
