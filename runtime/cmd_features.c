/* SPDX-License-Identifier: Apache-2.0 */
/* hvrun features: prints the features document. */
#include <errno.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/json.h"
#include "oci/features.h"
#include "runtime/commands.h"

static const struct option_spec features_specs[] = {{0}};

static int command_features_run(struct context *context, int argc, char **argv)
{
	cleanup_json json_t *features = NULL;
	struct err e;
	int first;

	int ret = options_parse(features_specs, NULL, argc, argv, &first, &e);
	if (ret == 0 && first < argc)
		ret = err_set(&e, EINVAL, "features: \"%s\": takes no arguments", argv[first]);
	if (ret == 0) {
		features = oci_features(HVRUN_VERSION);
		cleanup_free char *text = features ? json_dumps(features, JSON_INDENT(4)) : NULL;
		ret = text ? puts(text) : err_sys(&e, ENOMEM, "features");
	}
	return ret < 0 ? command_fail(context, &e) : 0;
}

const struct command command_features = {
	.name = "features",
	.summary = "print what a config.json may ask for",
	.text = "Prints the features document of the OCI runtime specification, as JSON: the\n"
		"versions, hooks, mount options, namespaces and so on that hvrun knows, whatever\n"
		"the machine is that it runs on.\n",
	.run = command_features_run,
};
