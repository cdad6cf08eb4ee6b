/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of resources share: a domain of 4 MiB with a kernel, of which a test makes what it needs, and what became of it. */
#pragma once

#include "daemon/resources.h"

#include "daemon-fixture.h"

static struct domain_config *config;
static struct resources_env env;
static struct resources res;
static struct error error;

static inline int resources_setup(void **state)
{
	struct fixture *f;

	fixture_setup(state);
	f = *state;
	config = domain_config_new();
	assert_non_null(config);
	strcpy(config->vm.name, "test");
	config->vm.memory_kib = 4096;
	config->vm.vcpus = config->vm.vcpus_max = 1;
	config->vm.has_kernel = 1;
	strcpy(config->kernel, f->kernel);
	env = (struct resources_env){
		.runtime_fd = open(f->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.runtime_path = f->runtime,
	};
	memset(&res, 0, sizeof(res));
	error = (struct error){0};
	return 0;
}

static inline int resources_teardown(void **state)
{
	resources_close(&res);
	config = domain_config_free(config);
	close(env.runtime_fd);
	return fixture_teardown(state);
}

static inline void open_ok(void)
{
	if (resources_open(config, &env, &res, &error) < 0)
		fail_msg("%s", error.message);
}

/* With these words, and nothing is left behind. */
static inline void refused(const char *words)
{
	unsigned before = fixture_count_fds();

	assert_true(resources_open(config, &env, &res, &error) < 0);
	if (!strstr(error.message, words))
		fail_msg("'%s' has no '%s'", error.message, words);
	assert_int_equal(fixture_count_fds(), before);
}

/* Its place in res.fds[] and res.what[]; -1: there is none. */
static inline int find(enum proto_fd_kind kind, unsigned index)
{
	for (unsigned i = 0; i < res.n; i++)
		if (res.what[i].kind == kind && res.what[i].index == index)
			return (int)i;
	return -1;
}
