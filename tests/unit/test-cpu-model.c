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
#define LIBVIRT_MODEL    "/usr/share/libvirt/cpu_map/x86_%s.xml"

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

static bool in(const struct cpu_feature_set *set, const char *name)
{
	int i = cpu_feature_find(name);

	assert_true(i >= 0);
	return cpu_feature_in(set, (unsigned)i);
}

static void test_models(void **state)
{
	static const char *const unknown[] = {"", "x86-64-v5", "x86-64-v1-IBRS", "x86-64-v1-v2",
		"x86-64", "pentium", "Haswell-", "Haswellx", "EPYC-Foo", "EPYC-v", "EPYC-v12",
		"qemu64-v1"};
	struct cpu_model_features all[CPU_MODEL_MAX], one;
	struct cpu_feature_set closed;

	(void)state;
	assert_string_equal(cpu_model_find("EPYC-Rome-v2")->name, "EPYC-Rome");
	assert_string_equal(cpu_model_find("EPYC-v1")->name, "EPYC");
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
		assert_null(cpu_model_find(unknown[i]));
	cpu_models_features(all);
	for (unsigned i = 0; i < cpu_n_models; i++) {
		const struct cpu_model *m = &cpu_models[i];

		assert_ptr_equal(cpu_model_find(m->name), m);
		assert_true(strlen(m->name) < 32);
		assert_int_equal(!m->signature, m->vendor == CPU_VENDOR_OTHER);
		cpu_model_features(m, &one);
		assert_memory_equal(&one, &all[i], sizeof(one));
		/* A model needs nothing that it does not have, and says nothing twice. */
		closed = one.required;
		cpu_features_close(&closed);
		assert_memory_equal(&closed, &one.required, sizeof(closed));
		for (unsigned k = 0; k < cpu_n_features; k++) {
			if (cpu_feature_in(&one.required, k) && cpu_feature_in(&one.usual, k))
				fail_msg("%s: %s", m->name, cpu_features[k].name);
			if (cpu_feature_in(&one.required, k) &&
				(cpu_feature_unmovable(k) || cpu_feature_follows(k)))
				fail_msg("%s: %s", m->name, cpu_features[k].name);
		}
		assert_true(cpu_level(&one.required) >= 1);
	}
}

/* What libvirt's file of a model names, but for what guests of vmmd never get with a model. */
static void read_libvirts_model(FILE *file, struct cpu_feature_set *ret)
{
	static const char left_out[] = " monitor svm npt nrip-save svme-addr-chk mpx intel-pt "
				       "perfctr_core core-capability "
				       "split-lock-detect osxsave topoext ";
	char line[256], name[64], word[72];

	*ret = (struct cpu_feature_set){0};
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, " <feature name='%63[^']'", name) != 1 || strstr(line, "added=") ||
			strstr(line, "removed="))
			continue;
		(void)snprintf(word, sizeof(word), " %s ", name);
		if (!strstr(left_out, word))
			cpu_feature_add(ret, (unsigned)cpu_feature_find(name));
	}
}

/* A name means what it means to libvirt, so that a document says the same to both. */
static void test_libvirts_models(void **state)
{
	struct cpu_feature_set theirs, more, less;
	struct cpu_model_features ours;
	char path[128], a[512], b[512];
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < cpu_n_models; i++) {
		const struct cpu_model *m = &cpu_models[i];
		_cleanup_(fclosep) FILE *file = NULL;

		(void)snprintf(path, sizeof(path), LIBVIRT_MODEL, m->name);
		file = fopen(path, "re");
		/* Those that lack something are no more like it than they say. */
		if (!file || m->lacks)
			continue;
		read_libvirts_model(file, &theirs);
		cpu_model_features(m, &ours);
		more = ours.required;
		cpu_features_cut(&more, &theirs);
		/* What is usual here may be required there by a later libvirt. */
		less = theirs;
		cpu_features_cut(&less, &ours.required);
		cpu_features_cut(&less, &ours.usual);
		cpu_features_list(&more, a, sizeof(a));
		cpu_features_list(&less, b, sizeof(b));
		if (*a || *b)
			fail_msg("%s: more: %s; less: %s", m->name, a, b);
		n++;
	}
	if (!n) {
		print_message("SKIP: no models of libvirt here (Debian package libvirt0)\n");
		skip();
	}
	assert_true(n >= 40);
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
	struct cpu_model_features f;
	char name[16];

	(void)state;
	for (unsigned level = 1; level <= CPU_LEVELS; level++) {
		(void)snprintf(name, sizeof(name), "x86-64-v%u", level);
		assert_string_equal(cpu_models[level - 1].name, name);
		cpu_model_features(&cpu_models[level - 1], &f);
		for (size_t i = 0; i < ARRAY_SIZE(added); i++)
			for (size_t j = 0; added[i].names[j]; j++)
				assert_int_equal(in(&f.required, added[i].names[j]),
					added[i].level <= level);
		assert_int_equal(cpu_level(&f.required), level);
	}
	cpu_model_features(cpu_model_find("Haswell"), &f);
	assert_int_equal(cpu_level(&f.required), 2); /* without f16c and abm, as libvirt's */
	cpu_model_features(cpu_model_find("EPYC-Genoa"), &f);
	assert_int_equal(cpu_level(&f.required), 4);
}

static void test_close(void **state)
{
	struct cpu_model_features f;
	struct cpu_feature_set set;

	(void)state;
	cpu_model_features(cpu_model_find("x86-64-v4"), &f);
	set = f.required;
	cpu_feature_remove(&set, (unsigned)cpu_feature_find("avx2"));
	cpu_features_close(&set);
	assert_true(in(&set, "avx") && in(&set, "fma") && in(&set, "bmi2"));
	assert_false(in(&set, "avx512f") || in(&set, "avx512vl"));
	cpu_feature_remove(&set, (unsigned)cpu_feature_find("xsave"));
	cpu_features_close(&set);
	assert_false(in(&set, "avx") || in(&set, "fma") || in(&set, "f16c"));
	assert_true(in(&set, "sse4.2"));
	/* Bits of the MSR need the feature that says that it is there. */
	cpu_model_features(cpu_model_find("Cooperlake"), &f);
	assert_true(in(&f.required, "mds-no"));
	cpu_feature_remove(&f.required, (unsigned)cpu_feature_find("arch-capabilities"));
	cpu_features_close(&f.required);
	assert_false(in(&f.required, "mds-no"));
}

static void test_nearest(void **state)
{
	struct cpu_feature_set set, required;
	struct cpu_model_features f;
	const struct cpu_model *m;

	(void)state;
	for (unsigned i = 0; i < cpu_n_models; i++) {
		cpu_model_features(&cpu_models[i], &f);
		m = cpu_model_nearest(&f.required, cpu_models[i].vendor, cpu_models[i].signature,
			true, &required);
		/* Names that mean the same processor: the first of them. */
		assert_memory_equal(&required, &f.required, sizeof(required));
		assert_true(m <= &cpu_models[i]);
	}
	/* A Haswell that microcode has taken TSX from, and one whose hypervisor takes even AVX2. */
	cpu_model_features(cpu_model_find("Haswell-IBRS"), &f);
	set = f.required;
	cpu_feature_remove(&set, (unsigned)cpu_feature_find("hle"));
	cpu_feature_remove(&set, (unsigned)cpu_feature_find("rtm"));
	m = cpu_model_nearest(&set, CPU_VENDOR_INTEL, CPU_SIGNATURE(6, 60, 3), true, &required);
	assert_string_equal(m->name, "Haswell-noTSX-IBRS");
	cpu_feature_remove(&set, (unsigned)cpu_feature_find("avx2"));
	m = cpu_model_nearest(&set, CPU_VENDOR_INTEL, CPU_SIGNATURE(6, 60, 3), false, &required);
	assert_string_equal(m->name, "Haswell-noTSX-IBRS");
	m = cpu_model_nearest(&set, CPU_VENDOR_INTEL, CPU_SIGNATURE(6, 60, 3), true, &required);
	assert_true(cpu_features_have(&set, &required));
	assert_string_equal(m->name, "SandyBridge-IBRS");
	/* Of no vendor that has models: a level, or a processor that never was. */
	m = cpu_model_nearest(&set, CPU_VENDOR_OTHER, 0, true, &required);
	assert_int_equal(m->vendor, CPU_VENDOR_OTHER);
	assert_null(cpu_model_nearest(
		&(struct cpu_feature_set){0}, CPU_VENDOR_AMD, 0, true, &required));
}

static void test_lists(void **state)
{
	struct cpu_feature_set set = {0};
	char text[16];

	(void)state;
	cpu_features_list(&set, text, sizeof(text));
	assert_string_equal(text, "");
	cpu_feature_add(&set, (unsigned)cpu_feature_find("avx"));
	cpu_feature_add(&set, (unsigned)cpu_feature_find("pni"));
	cpu_features_list(&set, text, sizeof(text));
	assert_string_equal(text, "pni, avx");
	cpu_feature_add(&set, (unsigned)cpu_feature_find("arch-capabilities"));
	cpu_features_list(&set, text, sizeof(text));
	assert_string_equal(text, "pni, avx, ...");
	assert_int_equal(cpu_features_count(&set), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_libvirt),
		cmocka_unit_test(test_models),
		cmocka_unit_test(test_libvirts_models),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_lists),
	};

	return cmocka_run_group_tests_name("cpu-model", tests, NULL, NULL);
}
