/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The contract report: see contract.h. */
#include "config/contract.h"

#include "vmm-core/base/strutil.h"

const char *contract_verdict_to_string(enum contract_verdict verdict)
{
	static const char *const words[CONTRACT_VERDICT_X_MAX] = {
		[CONTRACT_HONOURED] = "honoured",
		[CONTRACT_ADAPTED] = "adapted",
		[CONTRACT_IGNORED] = "ignored",
		[CONTRACT_REFUSED] = "refused",
		[CONTRACT_UNKNOWN] = "unknown",
	};

	return (unsigned)verdict < CONTRACT_VERDICT_X_MAX ? words[verdict] : NULL;
}

struct contract_report *contract_report_new(void)
{
	return calloc(1, sizeof(struct contract_report));
}

struct contract_report *contract_report_free(struct contract_report *report)
{
	if (!report)
		return NULL;
	for (size_t i = 0; i < report->n_entries; i++) {
		free(report->entries[i].path);
		free(report->entries[i].why);
	}
	free(report->entries);
	free(report);
	return NULL;
}

static int grow(struct contract_report *report)
{
	size_t n = report->n_entries;
	struct contract_entry *bigger;

	if (n & (n - 1)) /* doubled at powers of two */
		return 0;
	bigger = reallocarray(report->entries, n ? 2 * n : 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	report->entries = bigger;
	return 0;
}

long contract_add(struct contract_report *report, enum contract_verdict verdict, unsigned line,
	const char *path, const char *why)
{
	_cleanup_(freep) char *path_copy = strdup(path);
	_cleanup_(freep) char *why_copy = why ? strdup(why) : NULL;

	if (!path_copy || (why && !why_copy) || grow(report) < 0)
		return -ENOMEM;
	report->entries[report->n_entries] = (struct contract_entry){.verdict = verdict,
		.line = line,
		.path = TAKE_PTR(path_copy),
		.why = TAKE_PTR(why_copy)};
	report->counts[verdict]++;
	return (long)report->n_entries++;
}

int contract_set(struct contract_report *report, size_t index, enum contract_verdict verdict,
	const char *why)
{
	struct contract_entry *entry = &report->entries[index];
	char *copy = NULL;

	if (why) {
		copy = strdup(why);
		if (!copy)
			return -ENOMEM;
	}
	free(entry->why);
	entry->why = copy;
	report->counts[entry->verdict]--;
	report->counts[verdict]++;
	entry->verdict = verdict;
	return 0;
}

long contract_find(const struct contract_report *report, const char *path)
{
	size_t len = strlen(path);

	for (;;) {
		for (size_t i = 0; i < report->n_entries; i++)
			if (strlen(report->entries[i].path) == len &&
				memcmp(report->entries[i].path, path, len) == 0)
				return (long)i;
		while (len && path[len - 1] != '/')
			len--;
		if (!len)
			return -1;
		len--;
	}
}
