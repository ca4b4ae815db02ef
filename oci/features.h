/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The features document (runtime-spec, "Features Document"): what hvrun knows of a configuration,
 * whatever the host is. Most of it is guestinit's doing; a unit test holds the two together.
 */
#ifndef OCI_FEATURES_H
#define OCI_FEATURES_H

#include <jansson.h>

#include "base/err.h"

/* A new reference; version is hvrun's own. NULL without memory. */
json_t *oci_features(const char *version) must_check;

#endif
