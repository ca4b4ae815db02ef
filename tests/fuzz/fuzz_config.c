/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json: whatever it holds is accepted or refused with a message; what is accepted can be
 * checked, sized and pruned without a fault.
 *
 * Covers: oci/config.c oci/schema.c oci/rules.c runtime/support.c runtime/sizing.c
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "oci/config.h"
#include "oci/schema.h"
#include "runtime/settings.h"
#include "runtime/sizing.h"
#include "runtime/support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A host that allows every annotation. */
static json_t *annotations_allowed(void)
{
	static const char *const names[] = {"accel", "cache", "cmdline", "kernel", "memoryMiB",
		"modules", "net.antiSpoof", "net.ports", "net.rxBytesPerSecond",
		"net.txBytesPerSecond", "network", "unknown", "vcpus"};
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (json_array_append_new(list, json_string(names[i])) < 0)
			abort();
	return list;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_json json_t *allowed = annotations_allowed();
	struct settings settings = {.memory_overhead_mib = 64, .annotations = allowed};
	struct oci_config config;
	struct sizing sizing;
	struct err e = {0};

	if (oci_config_parse(&config, (const char *)data, size, "config.json", &e) < 0) {
		if (!e.text[0] || config.json)
			abort();
		return 0;
	}
	if (settings_annotate(&settings, config.annotations, &e) < 0 && !e.text[0])
		abort();
	if (support_check(&config, &settings, &e) == 0 &&
		sizing_make(&sizing, &config, &settings, &e) == 0 &&
		(!sizing.vcpus || sizing.vcpus > VCPUS_MAX || sizing.memory_bytes % (2u << 20)))
		abort();
	/* Pruning leaves what passes the schema. */
	oci_schema_prune(&oci_config_schema, config.json);
	char *text = json_dumps(config.json, JSON_COMPACT);
	if (!text)
		abort();
	free(text);
	oci_config_fini(&config);
	return 0;
}
