/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What handlers of vCPUs, iothreads and tuning have in common (api-cpu.c). */
#pragma once

#include "daemon/api.h"

/* What a getter is about: a configuration, which is 'owned' when it is not what runs. */
struct api_source {
	struct domain *domain;
	struct domain_config *owned;
	const struct domain_config *config;
};

/* By the call's domain and flags (DOMAIN_AFFECT_*). */
int api_source_init(struct api_source *ret, struct api_call *call, struct error *error);
void api_source_done(struct api_source *source);

/* As text; the empty set is any CPU that is online. */
void api_add_cpus(struct json_object *o, const char *key, const uint64_t set[CPUSET_WORDS]);

/* The argument "cpuset" of a method that pins a thread; 'number' is the caller's. */
struct api_pin {
	uint32_t number;
	bool none; /* "": no pin of its own */
	uint64_t cpus[CPUSET_WORDS];
};
int api_read_pin(const struct api_call *call, struct api_pin *ret, struct error *error);

/* domain_tune() for the call's domain and flags, and its answer. What 'what' points to is the call's. */
int api_tune(struct api_call *call, domain_change_fn fn, const void *what, size_t what_size,
	struct error *error);
