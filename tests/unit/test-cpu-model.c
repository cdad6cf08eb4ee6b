/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tables of CPU features and models, and whether their names mean to libvirt what they mean here. */
#include "vmm-core/cpu-model.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

#define LIBVIRT_FEATURES "/usr/share/libvirt/cpu_map/x86_features.xml"

static void test_table(void **state)
{
	(void)state;
	for (unsigned i = 0; i < cpu_n_features; i++) {
		const struct cpu_feature *f = &cpu_features[i];

		assert_true(strlen(f->name) < CPU_FEATURE_NAME_MAX);
		assert_true(f->reg < CPU_REGISTER_X_MAX && f->bit < 32);
		/* Sorted and without doubles, or the search would miss it; found by its name. */
		assert_int_equal(cpu_feature_at(f->leaf, f->subleaf, f->reg, f->bit), i);
		assert_int_equal(cpu_feature_find(f->name), i);
	}
	assert_int_equal(cpu_feature_at(1, 0, CPU_ECX, 11), -ENOENT);
	assert_int_equal(cpu_feature_at(UINT32_MAX, 0, CPU_EAX, 0), -ENOENT);
}

static void test_names(void **state)
{
	static const char *const same[][2] = {{"sse4.1", "sse4_1"}, {"sse4.2", "sse4-2"},
		{"pni", "sse3"}, {"pclmuldq", "pclmulqdq"}, {"abm", "lzcnt"},
		{"lahf_lm", "lahf-lm"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		assert_true(cpu_feature_find(same[i][0]) >= 0);
		assert_int_equal(cpu_feature_find(same[i][0]), cpu_feature_find(same[i][1]));
	}
	assert_int_equal(cpu_feature_find(""), -ENOENT);
	assert_int_equal(cpu_feature_find("sse4"), -ENOENT);
	assert_int_equal(cpu_feature_find("sse4.10"), -ENOENT);
}

/* The number between quotes behind 'key' in 's', or 'otherwise'. */
static unsigned long number(const char *s, const char *key, unsigned long otherwise)
{
	const char *at = strstr(s, key);

	return at ? strtoul(at + strlen(key), NULL, 16) : otherwise;
}

/* One <cpuid .../> line of libvirt's file against our row of that name; a feature of several bits has no row here. */
static bool check_line(const char *name, const char *line)
{
	static const char *const regs[] = {" eax='", " ebx='", " ecx='", " edx='"};
	unsigned long leaf = number(line, "eax_in='", 0), subleaf = number(line, "ecx_in='", 0);

	for (unsigned reg = 0; reg < ARRAY_SIZE(regs); reg++) {
		unsigned long mask = number(line, regs[reg], 0);
		int i;

		if (!mask || (mask & (mask - 1)))
			continue;
		i = cpu_feature_find(name);
		if (i < 0 ||
			i !=
				cpu_feature_at((uint32_t)leaf, (uint32_t)subleaf, reg,
					(unsigned)__builtin_ctzl(mask)))
			fail_msg("'%s' is another bit for libvirt: %s", name, line);
		return true;
	}
	return false;
}

static void test_libvirt(void **state)
{
	_cleanup_(fclosep) FILE *file = fopen(LIBVIRT_FEATURES, "re");
	char line[256], name[64] = "";
	unsigned n = 0;

	(void)state;
	if (!file) {
		print_message("SKIP: no %s here (Debian package libvirt0)\n", LIBVIRT_FEATURES);
		skip();
	}
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, " <feature name='%63[^']'", name) == 1)
			continue;
		if (strstr(line, "<cpuid ") && check_line(name, line))
			n++;
	}
	assert_true(n >= 200);
}

static void test_models(void **state)
{
	static const struct {
		const char *name;
		unsigned level;
	} cases[] = {{"x86-64-v1", 1}, {"x86-64-v4", 4}, {"qemu64", 1}, {"kvm64", 1}, {"Penryn", 1},
		{"Nehalem", 2}, {"Westmere-IBRS", 2}, {"Haswell-noTSX-IBRS", 3}, {"EPYC", 3},
		{"EPYC-IBPB", 3}, {"EPYC-Rome-v2", 3}, {"EPYC-Genoa", 4}, {"Skylake-Client", 3},
		{"Skylake-Server-noTSX-IBRS", 4}};
	static const char *const unknown[] = {"", "x86-64-v5", "x86-64-v1-IBRS", "x86-64",
		"pentium", "Haswell-", "Haswellx", "EPYC-Foo"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct cpu_model *m = cpu_model_find(cases[i].name);

		assert_non_null(m);
		assert_int_equal(m->level, cases[i].level);
		assert_int_equal(m->exact, strncmp(cases[i].name, "x86-64", 6) == 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
		assert_null(cpu_model_find(unknown[i]));
	for (unsigned i = 0; cpu_model_at(i); i++)
		assert_ptr_equal(cpu_model_find(cpu_model_at(i)->name), cpu_model_at(i));
}

static bool in(const struct cpu_feature_set *set, const char *name)
{
	return cpu_feature_in(set, (unsigned)cpu_feature_find(name));
}

static void test_levels(void **state)
{
	static const struct {
		unsigned level;
		const char *names[12];
	} added[] = {
		{1, {"cmov", "cx8", "fpu", "fxsr", "mmx", "syscall", "sse", "sse2", "lm"}},
		{2, {"cx16", "lahf_lm", "popcnt", "pni", "sse4.1", "sse4.2", "ssse3"}},
		{3, {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}},
		{4, {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}},
	};
	struct cpu_feature_set required, usual, closed;

	(void)state;
	for (unsigned level = 1; level <= CPU_MODEL_LEVELS; level++) {
		cpu_model_features(level, &required, &usual);
		for (size_t i = 0; i < ARRAY_SIZE(added); i++)
			for (size_t j = 0; added[i].names[j]; j++)
				assert_int_equal(
					in(&required, added[i].names[j]), added[i].level <= level);
		for (unsigned i = 0; i < cpu_n_features; i++)
			assert_false(cpu_feature_in(&required, i) && cpu_feature_in(&usual, i));
		/* A level needs nothing that it does not have. */
		closed = required;
		cpu_features_close(&closed);
		assert_memory_equal(&closed, &required, sizeof(closed));
	}
}

static void test_close(void **state)
{
	struct cpu_feature_set set, usual;

	(void)state;
	cpu_model_features(4, &set, &usual);
	cpu_feature_remove(&set, (unsigned)cpu_feature_find("avx2"));
	cpu_features_close(&set);
	assert_true(in(&set, "avx") && in(&set, "fma") && in(&set, "bmi2"));
	assert_false(in(&set, "avx512f") || in(&set, "avx512vl"));
	cpu_feature_remove(&set, (unsigned)cpu_feature_find("xsave"));
	cpu_features_close(&set);
	assert_false(in(&set, "avx") || in(&set, "fma") || in(&set, "f16c"));
	assert_true(in(&set, "sse4.2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_libvirt),
		cmocka_unit_test(test_models),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_close),
	};

	return cmocka_run_group_tests_name("cpu-model", tests, NULL, NULL);
}
