/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics as runc prints them; see stats.h. The names and the order are those of runc's
 * types/events.go, members that it leaves out when they are 0 included. Written as text because
 * there are numbers that are too large for jansson: no limit is 2^64 - 1.
 */
#include "runtime/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

#define NS_PER_US   1000u
#define RAW_MAX	    256 /* lines of memory.stat */
#define DEVICES_MAX 256
#define PAGES_MAX   16 /* sizes of huge pages */
#define NAME_BYTES  48

#define INTERFACES_MAX	     64
#define INTERFACE_NAME_BYTES 15

struct writer {
	FILE *out;
	bool broken; /* a number was none */
};

/* A member that is missing is 0. */
static uint64_t number(struct writer *w, const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (!value)
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < 0) {
		w->broken = true;
		return 0;
	}
	return (uint64_t)json_integer_value(value);
}

/* A limit that is missing is none. */
static uint64_t limit(struct writer *w, const json_t *object, const char *key)
{
	return json_object_get(object, key) ? number(w, object, key) : UINT64_MAX;
}

static uint64_t saturated_add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t nanoseconds(struct writer *w, const json_t *object, const char *key)
{
	uint64_t ns;

	return __builtin_mul_overflow(number(w, object, key), NS_PER_US, &ns) ? UINT64_MAX : ns;
}

static const char *put_name(struct writer *w, const char *name, const char *comma)
{
	fprintf(w->out, "%s\"%s\":", comma, name);
	return ",";
}

static const char *put(struct writer *w, const char *name, uint64_t value, const char *comma)
{
	put_name(w, name, comma);
	fprintf(w->out, "%" PRIu64, value);
	return ",";
}

/* The same, left out when it is 0. */
static const char *put_some(struct writer *w, const char *name, uint64_t value, const char *comma)
{
	return value ? put(w, name, value, comma) : comma;
}

/* Names that need no escapes in JSON; others are not the kernel's. */
static bool plain_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");

	return n && n < NAME_BYTES && !name[n];
}

static void put_cpu(struct writer *w, const json_t *cpu)
{
	const char *comma;

	fputs("\"cpu\":{\"usage\":{", w->out);
	comma = put_some(w, "total", nanoseconds(w, cpu, "usage_usec"), "");
	comma = put(w, "kernel", nanoseconds(w, cpu, "system_usec"), comma);
	put(w, "user", nanoseconds(w, cpu, "user_usec"), comma);
	fputs("},\"throttling\":{", w->out);
	comma = put_some(w, "periods", number(w, cpu, "nr_periods"), "");
	comma = put_some(w, "throttledPeriods", number(w, cpu, "nr_throttled"), comma);
	put_some(w, "throttledTime", nanoseconds(w, cpu, "throttled_usec"), comma);
	fputs("}}", w->out);
}

/* With cgroup v2 runc has nothing to say of it. */
static void put_cpuset(struct writer *w)
{
	static const char *const names[] = {"cpu_exclusive", "mem_hardwall", "mem_exclusive",
		"memory_migrate", "memory_spread_page", "memory_spread_slab", "memory_pressure",
		"sched_load_balance", "sched_relax_domain_level"};
	const char *comma = "";

	fputs(",\"cpuset\":{", w->out);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		comma = put(w, names[i], 0, comma);
	fputc('}', w->out);
}

struct usage {
	uint64_t limit, usage, max, failcnt;
};

static void put_usage(
	struct writer *w, const char *name, const struct usage *usage, const char *comma)
{
	put_name(w, name, comma);
	fputc('{', w->out);
	put(w, "limit", usage->limit, "");
	put_some(w, "usage", usage->usage, ",");
	put_some(w, "max", usage->max, ",");
	put(w, "failcnt", usage->failcnt, ",");
	fputc('}', w->out);
}

static void put_raw(struct writer *w, const json_t *stat)
{
	const char *name, *comma = "";
	json_t *value;
	unsigned n = 0;

	fputs(",\"raw\":{", w->out);
	json_object_foreach ((json_t *)(uintptr_t)stat, name, value) {
		if (plain_name(name) && n++ < RAW_MAX)
			comma = put(w, name, number(w, stat, name), comma);
	}
	fputc('}', w->out);
}

static void put_memory(struct writer *w, const json_t *memory)
{
	const json_t *stat = json_object_get(memory, "stat");
	const json_t *events = json_object_get(memory, "events");
	const struct usage none = {0},
			   usage = {
				   .limit = limit(w, memory, "max"),
				   .usage = number(w, memory, "current"),
				   .max = number(w, memory, "peak"),
				   .failcnt = number(w, events, "max"),
			   };
	/* As with cgroup v1: of memory and swap together. A guest without swap has no limit of it.
	 */
	bool swap = json_object_get(memory, "swap_current");
	const struct usage both = {
		.limit = saturated_add(usage.limit, swap ? limit(w, memory, "swap_max") : 0),
		.usage = saturated_add(usage.usage, number(w, memory, "swap_current")),
	};

	fputs(",\"memory\":{", w->out);
	const char *comma = put_some(w, "cache", number(w, stat, "file"), "");
	put_usage(w, "usage", &usage, comma);
	put_usage(w, "swap", &both, ",");
	put_usage(w, "kernel", &none, ",");
	put_usage(w, "kernelTCP", &none, ",");
	if (json_object_size(stat))
		put_raw(w, stat);
	fputc('}', w->out);
}

static void put_pids(struct writer *w, const json_t *pids)
{
	fputs(",\"pids\":{", w->out);
	const char *comma = put_some(w, "current", number(w, pids, "current"), "");
	put_some(w, "limit", number(w, pids, "max"), comma);
	fputc('}', w->out);
}

static void put_io_table(struct writer *w, const json_t *io, const char *name, const char *read_key,
	const char *write_key, const char *comma)
{
	size_t n = json_array_size(io);

	put_name(w, name, comma);
	fputc('[', w->out);
	for (size_t i = 0; i < n; i++) {
		const json_t *device = json_array_get(io, i);
		for (int k = 0; k < 2; k++) {
			fputs(i || k ? ",{" : "{", w->out);
			comma = put_some(w, "major", number(w, device, "major"), "");
			comma = put_some(w, "minor", number(w, device, "minor"), comma);
			fprintf(w->out, "%s\"op\":\"%s\"", comma, k ? "Write" : "Read");
			put_some(w, "value", number(w, device, k ? write_key : read_key), ",");
			fputc('}', w->out);
		}
	}
	fputc(']', w->out);
}

static void put_blkio(struct writer *w, const json_t *io)
{
	fputs(",\"blkio\":{", w->out);
	if (json_array_size(io) > DEVICES_MAX)
		w->broken = true;
	else if (json_array_size(io)) {
		put_io_table(w, io, "ioServiceBytesRecursive", "rbytes", "wbytes", "");
		put_io_table(w, io, "ioServicedRecursive", "rios", "wios", ",");
	}
	fputc('}', w->out);
}

static void put_hugetlb(struct writer *w, const json_t *hugetlb)
{
	const char *name, *comma = "";
	json_t *page;
	unsigned n = 0;

	fputs(",\"hugetlb\":{", w->out);
	json_object_foreach ((json_t *)(uintptr_t)hugetlb, name, page) {
		if (!plain_name(name) || n++ >= PAGES_MAX)
			continue;
		comma = put_name(w, name, comma);
		fputc('{', w->out);
		const char *inner = put_some(w, "usage", number(w, page, "current"), "");
		put(w, "failcnt", number(w, page, "failcnt"), inner);
		fputc('}', w->out);
	}
	fputc('}', w->out);
}

/* Names of interfaces may hold what would need an escape: shown as a question mark. */
static void put_interface_name(struct writer *w, const char *name)
{
	fputs("{\"Name\":\"", w->out);
	for (size_t i = 0; name && name[i] && i < INTERFACE_NAME_BYTES; i++)
		fputc(name[i] > ' ' && name[i] < 0x7f && name[i] != '"' && name[i] != '\\'
				? name[i]
				: '?',
			w->out);
	fputc('"', w->out);
}

static void put_network(struct writer *w, const json_t *list)
{
	/* Names in the guest's answer, and those of runc, which its Go code does not change. */
	static const char *const names[][2] = {{"rxBytes", "RxBytes"}, {"rxPackets", "RxPackets"},
		{"rxErrors", "RxErrors"}, {"rxDropped", "RxDropped"}, {"txBytes", "TxBytes"},
		{"txPackets", "TxPackets"}, {"txErrors", "TxErrors"}, {"txDropped", "TxDropped"}};
	size_t n = json_array_size(list);

	fputs(",\"network_interfaces\":", w->out);
	if (n > INTERFACES_MAX)
		w->broken = true;
	if (!n || w->broken) {
		fputs("null", w->out);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const json_t *entry = json_array_get(list, i);
		fputc(i ? ',' : '[', w->out);
		put_interface_name(w, json_string_value(json_object_get(entry, "name")));
		for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
			put(w, names[k][1], number(w, entry, names[k][0]), ",");
		fputc('}', w->out);
	}
	fputc(']', w->out);
}

int stats_line(const char *id, const json_t *stats, char **out, struct err *e)
{
	cleanup_free char *text = NULL;
	size_t len;
	struct writer w = {.out = open_memstream(&text, &len)};

	if (!w.out)
		return err_sys(e, errno, "statistics");
	fprintf(w.out, "{\"type\":\"stats\",\"id\":\"%s\",\"data\":{", id);
	put_cpu(&w, json_object_get(stats, "cpu"));
	put_cpuset(&w);
	put_memory(&w, json_object_get(stats, "memory"));
	put_pids(&w, json_object_get(stats, "pids"));
	put_blkio(&w, json_object_get(stats, "io"));
	put_hugetlb(&w, json_object_get(stats, "hugetlb"));
	fputs(",\"intel_rdt\":{}", w.out);
	put_network(&w, json_object_get(stats, "network"));
	fputs("}}\n", w.out);
	bool failed = ferror(w.out);
	if (fclose(w.out) != 0 || failed)
		return err_sys(e, ENOMEM, "statistics");
	if (w.broken || !json_is_object(stats))
		return err_set(e, EINVAL, "the guest's statistics make no sense");
	*out = steal_ptr(&text);
	return 0;
}
