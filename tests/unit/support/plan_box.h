/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle in a directory of its own, and what becomes of it: exports, and a plan of them. */
#ifndef TESTS_UNIT_SUPPORT_PLAN_BOX_H
#define TESTS_UNIT_SUPPORT_PLAN_BOX_H

#include "runtime/plan.h"
#include "runtime/preserve.h"

struct plan_box {
	char path[64];
	int dir;
	struct oci_config config;
	struct exports exports;
	/* What plan_box_fill makes of them. */
	struct settings settings;
	struct sizing sizing;
	struct guestkernel *kernel;
	struct streams streams;
	struct preserve preserve;
	struct plan plan;
};

/*
 * The bundle, with "rootfs", "data", "file" and "link" (to data) in it; `inner` is its
 * config.json's members behind ociVersion, with ' for ". Each of these fails the test when it can't
 * be done.
 */
void plan_box_make(struct plan_box *box, const char *inner);
void plan_box_destroy(struct plan_box *box);

/* Opens what the configuration exports; closed by plan_box_destroy. */
void plan_box_exports(struct plan_box *box);

/* A plan with descriptors that are numbers only; freed by plan_box_destroy. */
void plan_box_fill(struct plan_box *box);

#endif
