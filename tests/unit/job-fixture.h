/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What tests of jobs share: a server with two clients, and looks at a job by the second. */
#pragma once

#include "rpc-fixture.h"

#include "daemon/job.h"
#include "daemon/network.h"

static struct rpc *server;
static struct client c1, c2 = {.fd = -EBADF, .got_fd = -EBADF};

static inline void open_server(struct fixture *f)
{
	assert_int_equal(rpc_new(f->manager, &(struct rpc_options){0}, &server), 0);
	assert_int_equal(connect_client(&c1, server), 0);
	assert_int_equal(connect_client(&c2, server), 0);
}

static inline void close_server(void)
{
	client_done(&c1);
	client_done(&c2);
	server = rpc_free(server);
}

static inline int setup(void **state)
{
	fixture_setup(state);
	open_server(*state);
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	close_server();
	RUN_UNTIL(f, fixture_n_active(f) == 0);
	return fixture_teardown(state);
}

/* What 'text' is answered by: the result, or the error; the caller puts it. */
static inline struct json_object *result_of(struct fixture *f, const char *text)
{
	struct json_object *answer = json_tokener_parse(ask(f, &c2, text)), *v = NULL;

	if (!json_object_object_get_ex(answer, "result", &v))
		(void)json_object_object_get_ex(answer, "error", &v);
	assert_non_null(v);
	v = json_object_get(v);
	json_object_put(answer);
	return v;
}

static inline const char *word(struct json_object *o, const char *key)
{
	struct json_object *v = json_object_object_get(o, key);

	return v ? json_object_get_string(v) : "(none)";
}

static inline int64_t number(struct json_object *o, const char *key)
{
	struct json_object *v = json_object_object_get(o, key);

	return v ? json_object_get_int64(v) : -1;
}

/* The job 'id', asked for by 'method'; the caller puts it. */
static inline struct json_object *job(struct fixture *f, const char *method, unsigned id)
{
	struct json_object *result, *info;
	char text[256];

	snprintf(text, sizeof(text), REQUEST("9", "%s", "[%u]"), method, id);
	result = result_of(f, text);
	info = json_object_get(json_object_object_get(result, "info"));
	json_object_put(result);
	assert_non_null(info);
	return info;
}

static inline void expect_state(struct fixture *f, unsigned id, const char *state)
{
	struct json_object *info = job(f, "WaitJob", id);

	assert_string_equal(word(info, "state"), state);
	json_object_put(info);
}

static inline void expect(struct fixture *f, const char *text, const char *begin)
{
	const char *line = ask(f, &c2, text);

	if (strncmp(line, begin, strlen(begin)) != 0)
		fail_msg("'%s' was answered by '%s'", text, line);
}

#define FAILED(id, code) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"error\":{\"code\":" code ","

static inline void expect_counts(struct fixture *f, const char *kind, unsigned running,
	unsigned done, unsigned failed, unsigned cancelled)
{
	for (size_t i = 0; i < n_job_kinds; i++) {
		const struct job_count *n = &jobs_counts(f->manager->jobs)[i];

		if (!streq(job_kinds[i].name, kind))
			continue;
		assert_int_equal(n->running, running);
		assert_int_equal(n->ended[JOB_DONE], done);
		assert_int_equal(n->ended[JOB_FAILED], failed);
		assert_int_equal(n->ended[JOB_CANCELLED], cancelled);
	}
}
