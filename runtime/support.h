/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a valid configuration may ask for and hvrun can't give: refused before anything is
 * started, with the JSON path of the field and the reason, never ignored.
 */
#ifndef RUNTIME_SUPPORT_H
#define RUNTIME_SUPPORT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "oci/config.h"
#include "runtime/settings.h"

/*
 * Whether a container can be run from config as settings (annotations applied) say. 0, or
 * -ENOTSUP or -EINVAL with e beginning with "config.json: PATH: ". Fields that are accepted but
 * have no effect in a VM are logged.
 */
int support_check(
	const struct oci_config *config, const struct settings *settings, struct err *e) must_check;

/* Whether the guest's kernel has this character device, with the host's meaning. */
bool support_char_device(unsigned major, unsigned minor);

/* Whether a mount of the configuration (passed the schema) is a bind mount. */
bool support_is_bind(const json_t *mount);

/* Whether the mount is to show other ids than its source has. */
bool support_maps_ids(const json_t *mount);

/* Whether the mount has an option. */
bool support_has_option(const json_t *mount, const char *option);

/* Not empty, 0, false or -1 (unlimited), which callers write where they ask for nothing. */
bool support_asks(const json_t *value);

#endif
