/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Idempotency keys: retries while a call is under way and after it, by others and with other arguments, limits; and daemons that are
 * killed before the intent, after it, within the work, and before and after the outcome is written: nothing is done twice. */
#include "rpc-fixture.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "daemon/once-internal.h"

#define KEYED(id, method, params, key)                                                             \
	REQUEST(id, method, "{" params ",\"idempotency_key\":\"" key "\"}")
#define DONE(id) RESULT(id, "{}")

static struct rpc *server;
static struct client c1, c2 = {.fd = -EBADF, .got_fd = -EBADF};

static void open_server(struct fixture *f)
{
	assert_int_equal(rpc_new(f->manager, &(struct rpc_options){0}, &server), 0);
	assert_int_equal(connect_client(&c1, server), 0);
	assert_int_equal(connect_client(&c2, server), 0);
}

static void close_server(void)
{
	client_done(&c1);
	client_done(&c2);
	server = rpc_free(server);
}

static int setup(void **state)
{
	fixture_setup(state);
	open_server(*state);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_server();
	RUN_UNTIL(f, fixture_n_active(f) == 0);
	return fixture_teardown(state);
}

static void expect(struct fixture *f, const char *text, const char *begin)
{
	const char *line = ask(f, &c1, text);

	if (strncmp(line, begin, strlen(begin)) != 0)
		fail_msg("'%s' was answered by '%s', not '%s'", text, line, begin);
}

#define FAILED(id, code) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"error\":{\"code\":" code ","

static unsigned count_events(struct fixture *f, const char *text)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->n_events; i++)
		n += streq(f->events[i], text);
	return n;
}

static struct domain *find(struct fixture *f, const char *name)
{
	return manager_find_name(f->manager, name);
}

/* A request with a domain's XML, which has quotes. */
static const char *xml_request(
	struct fixture *f, const char *method, const char *name, const char *key)
{
	static char text[8192];
	struct json_object *xml = json_object_new_string(fixture_xml(f, name, "", ""));

	snprintf(text, sizeof(text),
		"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"%s\",\"params\":{\"xml\":%s,"
		"\"idempotency_key\":\"%s\"}}",
		method, json_object_to_json_string(xml), key);
	json_object_put(xml);
	return text;
}

/* The same answer, and one domain; another caller's key is another key. */
static void test_retry(void **state)
{
	struct fixture *f = *state;
	struct rpc_conn *conn = list_entry(server->connections.next, struct rpc_conn, link);
	char first[4096];

	strcpy(first, ask(f, &c1, xml_request(f, "DefineDomain", "a", "k")));
	assert_true(BEGINS(
		first, "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"name\":\"a\",\"report\":["));
	assert_string_equal(ask(f, &c1, xml_request(f, "DefineDomain", "a", "k")), first);
	assert_string_equal(ask(f, &c2, xml_request(f, "DefineDomain", "a", "k")), first);
	assert_int_equal(count_events(f, "lifecycle a Defined Added"), 1);
	assert_int_equal(count_events(f, "lifecycle a Defined Updated"), 0);
	/* Without a UUID in its XML a second one is refused: so this really was a second call. */
	expect(f, xml_request(f, "DefineDomain", "a", "k2"), FAILED("7", "-32002"));
	expect(f, xml_request(f, "DefineDomain", "a", "k2"), FAILED("7", "-32002"));
	conn->peer.user.uid++;
	expect(f, xml_request(f, "DefineDomain", "b", "k"),
		"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\"");
	assert_non_null(find(f, "b"));
}

/* Of one domain with so much memory, with what 'more' has. */
static const char *documents_request(struct fixture *f, const char *method, const char *more)
{
	static char text[8192];
	struct json_object *xml = json_object_new_string(fixture_xml(f, "a", more, ""));

	snprintf(text, sizeof(text),
		"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"%s\",\"params\":{\"documents\":[%s],"
		"\"sources\":[\"a.xml\"]",
		method, json_object_to_json_string(xml));
	json_object_put(xml);
	return text;
}

static const char *apply(struct fixture *f, const char *more, const char *digest, const char *key)
{
	static char text[8192];

	snprintf(text, sizeof(text), "%s,\"digest\":\"%s\"%s%s%s}}",
		documents_request(f, "ApplyDefinitions", more), digest,
		key ? ",\"idempotency_key\":\"" : "", key ? key : "", key ? "\"" : "");
	return ask(f, &c1, text);
}

/* Cut short when all definitions had changed: the plan is another one then, because it has been carried out. */
static void test_applied(void **state)
{
	struct fixture *f = *state;
	char text[8192], digest[64];
	const char *p;

	snprintf(text, sizeof(text), "%s}}", documents_request(f, "PlanDefinitions", ""));
	p = strstr(ask(f, &c1, text), "\"digest\":\"");
	assert_non_null(p);
	assert_int_equal(sscanf(p, "\"digest\":\"%63[^\"]", digest), 1);
	assert_non_null(strstr(apply(f, "", digest, NULL), "\"result\""));
	assert_non_null(find(f, "a"));
	assert_non_null(strstr(apply(f, "", digest, "k"), "\"action\":\"same\""));
	/* Who gives no key has not retried, and what is not so yet is another plan. */
	assert_non_null(strstr(apply(f, "", digest, NULL), "it is another plan now"));
	assert_non_null(strstr(apply(f, "other", digest, "l"), "it is another plan now"));
}

/* An error is an answer, too, also when the reason for it is gone. */
static void test_errors(void **state)
{
	struct fixture *f = *state;

	expect(f, KEYED("1", "StartDomain", "\"domain\":\"a\"", "k"), FAILED("1", "-32001"));
	fixture_define(f, "a", "", "");
	expect(f, KEYED("2", "StartDomain", "\"domain\":\"a\"", "k"), FAILED("2", "-32001"));
	expect(f, KEYED("3", "StartDomain", "\"domain\":\"a\"", "l"), DONE("3"));
}

static void test_misuse(void **state)
{
	struct fixture *f = *state;
	char text[512], key[ONCE_KEY_MAX + 2];

	fixture_define(f, "a", "", "");
	expect(f, KEYED("1", "StartDomain", "\"domain\":\"a\",\"flags\":2", "k"), DONE("1"));
	/* Other arguments, another method; the defaults are arguments as well. */
	expect(f, KEYED("2", "StartDomain", "\"domain\":\"a\"", "k"), FAILED("2", "-32010"));
	expect(f, KEYED("3", "DestroyDomain", "\"domain\":\"a\",\"flags\":2", "k"),
		FAILED("3", "-32010"));
	expect(f, REQUEST("4", "StartDomain", "[\"a\",2,\"k\"]"), DONE("4"));
	expect(f, KEYED("5", "ListDomains", "\"flags\":0", "k"), FAILED("5", "-32602"));
	expect(f, KEYED("6", "ResumeDomain", "\"domain\":\"a\"", ""), FAILED("6", "-32010"));
	expect(f, KEYED("7", "ResumeDomain", "\"domain\":\"a\"", "a\\u0001"),
		FAILED("7", "-32010"));
	for (unsigned over = 0; over < 2; over++) {
		memset(key, 'x', sizeof(key));
		key[ONCE_KEY_MAX + over] = 0;
		snprintf(text, sizeof(text),
			"{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"ResumeDomain\",\"params\":{"
			"\"domain\":\"a\",\"idempotency_key\":\"%s\"}}",
			key);
		expect(f, text, over ? FAILED("8", "-32010") : DONE("8"));
	}
	/* What is refused before it is begun leaves nothing. */
	expect(f, KEYED("9", "DestroyDomain", "\"dmain\":\"a\"", "n"), FAILED("9", "-32602"));
	expect(f, KEYED("10", "DestroyDomain", "\"domain\":\"a\"", "n"), DONE("10"));
}

/* While it is under way, its retries wait, also when the first caller is gone. */
static void test_under_way(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "a", "", "");

	say(&c1, KEYED("1", "StartDomain", "\"domain\":\"a\"", "k") "\n");
	RUN_UNTIL(f, d->phase == DOMAIN_STARTING);
	/* However fast the worker is: it is not before they wait. */
	assert_int_equal(kill(worker_pid(d->worker), SIGSTOP), 0);
	client_done(&c1);
	say(&c2,
		KEYED("2", "StartDomain", "\"domain\":\"a\"", "k") "\n" KEYED(
			"3", "StartDomain", "\"domain\":\"a\"", "k") "\n");
	RUN_UNTIL(f,
		!list_empty(&list_entry(f->manager->once->entries.next, struct once_entry, link)
				     ->waits));
	assert_int_equal(d->phase, DOMAIN_STARTING);
	assert_int_equal(kill(worker_pid(d->worker), SIGCONT), 0);
	assert_string_equal(hear(f, &c2), DONE("2"));
	assert_string_equal(hear(f, &c2), DONE("3"));
	assert_int_equal(count_events(f, "lifecycle a Started Booted"), 1);
}

/* Old ones go; those under way never do. */
static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct once *once = f->manager->once;
	struct once_entry *first;
	char text[256];

	fixture_define(f, "a", "fake=no-reply", "");
	say(&c1, KEYED("1", "StartDomain", "\"domain\":\"a\"", "first") "\n");
	for (unsigned i = 0; i < ONCE_MAX_OF_CALLER + 3; i++) {
		snprintf(text, sizeof(text),
			"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ResetDomain\",\"params\":{"
			"\"domain\":\"none\",\"idempotency_key\":\"k%u\"}}",
			i);
		assert_true(BEGINS(ask(f, &c2, text), FAILED("2", "-32001")));
		assert_true(once->n_entries <= ONCE_MAX_OF_CALLER);
	}
	assert_int_equal(once->n_entries, ONCE_MAX_OF_CALLER);
	first = list_entry(once->entries.next, struct once_entry, link);
	assert_string_equal(first->key, "first");
	assert_string_equal(ask(f, &c2, REQUEST("3", "DestroyDomain", "[\"a\"]")), DONE("3"));
	assert_true(BEGINS(hear(f, &c1), FAILED("1", "-32011")));
	expect(f, KEYED("4", "StartDomain", "\"domain\":\"a\"", "first"), FAILED("4", "-32011"));
	/* An hour later it is forgotten. */
	first->at_s -= ONCE_KEEP_S;
	expect(f, KEYED("5", "ResetDomain", "\"domain\":\"none\"", "k9"), FAILED("5", "-32001"));
	assert_int_equal(once->n_entries, ONCE_MAX_OF_CALLER - 1);
}

/* Daemons that die. */

static void (*die_at_work)(struct fixture *f);
static enum once_step die_at;

static void die(enum once_step step)
{
	if (step == die_at)
		_exit(7);
}

/* A worker that was being made when the daemon died may hold it until it has become another program. */
static void wait_for_lock(const struct fixture *f)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/vmmd.lock", f->runtime);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	close(fd);
}

/* A daemon works on 'request' and is killed at 'step' (X_MAX: when 'at_work' does it, or in the next turns). */
static void killed_daemon(struct fixture *f, const char *request, enum once_step step)
{
	pid_t pid;
	int status;

	if (server)
		close_server();
	f->manager = manager_free(f->manager);
	sd_event_unref(f->event);
	f->event = NULL;
	pid = fork();
	if (pid == 0) {
		uint64_t end = 0;

		(void)sd_event_new(&f->event);
		fixture_open_manager(f);
		open_server(f);
		die_at = step;
		f->manager->once->step = die;
		say(&c1, request);
		say(&c1, "\n");
		while (!has_line(&c1)) {
			if (die_at_work)
				die_at_work(f);
			fixture_turn(f, &end);
		}
		fprintf(stderr, "the daemon lived: %s\n", c1.buffer);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 7);
	wait_for_lock(f);
	assert_true(sd_event_new(&f->event) >= 0);
	f->n_events = 0;
	fixture_open_manager(f);
	open_server(f);
}

/* Whenever it dies, there is one domain, and a retry says that it is defined. */
static void test_killed_define(void **state)
{
	struct fixture *f = *state;

	for (enum once_step step = 0; step < ONCE_STEP_X_MAX; step++) {
		char name[8], first[4096];
		uint8_t uuid[16];
		struct domain *d;

		snprintf(name, sizeof(name), "d%d", (int)step);
		killed_daemon(f, xml_request(f, "DefineDomain", name, name), step);
		d = find(f, name);
		assert_int_equal(d != NULL, step >= ONCE_STEP_HANDLED);
		if (d)
			memcpy(uuid, d->uuid, 16);
		strcpy(first, ask(f, &c1, xml_request(f, "DefineDomain", name, name)));
		if (!strstr(first, "\"result\":{\"name\":\"d") || !strstr(first, "\"verdict\""))
			fail_msg("step %d: %s", (int)step, first);
		if (d)
			assert_memory_equal(find(f, name)->uuid, uuid, 16);
		assert_string_equal(ask(f, &c1, xml_request(f, "DefineDomain", name, name)), first);
		assert_int_equal(f->manager->n_domains, 1 + (unsigned)step);
		assert_int_equal(f->n_events, d ? 0 : 1);
	}
}

/* START is not sent yet. */
static void die_when_starting(struct fixture *f)
{
	struct domain *d = find(f, "s");

	if (d && d->worker && d->phase == DOMAIN_STARTING)
		_exit(7);
}

/* The worker has said that it runs, and nothing is written of that. */
static void on_changed(struct event_sink *sink, const struct domain *d)
{
	(void)sink;
	if (d->phase == DOMAIN_ACTIVE)
		_exit(7);
}

static void die_when_started(struct fixture *f)
{
	f->sink.changed = on_changed;
}

static void start_killed(struct fixture *f, void (*at_work)(struct fixture *), enum once_step step)
{
	die_at_work = at_work;
	killed_daemon(f, KEYED("1", "StartDomain", "\"domain\":\"s\"", "k"), step);
	die_at_work = NULL;
}

static pid_t worker_of(struct fixture *f)
{
	struct domain *d = find(f, "s");

	return d && d->worker ? worker_pid(d->worker) : 0;
}

/* A start in all its moments: one worker, which the retry finds. */
static void test_killed_start(void **state)
{
	struct fixture *f = *state;
	static const struct {
		void (*at_work)(struct fixture *f);
		enum once_step step;
		bool runs; /* the next daemon finds it running */
	} moments[] = {
		{NULL, ONCE_STEP_BEGIN, false},
		{NULL, ONCE_STEP_INTENT, false},
		{die_when_started, ONCE_STEP_X_MAX, true},
		{NULL, ONCE_STEP_HANDLED, true},
		{NULL, ONCE_STEP_OUTCOME, true},
	};

	fixture_define(f, "s", "", "");
	for (size_t i = 0; i < ARRAY_SIZE(moments); i++) {
		pid_t pid;

		start_killed(f, moments[i].at_work, moments[i].step);
		pid = worker_of(f);
		if ((pid != 0) != moments[i].runs)
			fail_msg("moment %zu: worker %d", i, pid);
		assert_string_equal(
			ask(f, &c1, KEYED("2", "StartDomain", "\"domain\":\"s\"", "k")), DONE("2"));
		assert_int_equal(find(f, "s")->state, DOMAIN_STATE_RUNNING);
		assert_int_equal(count_events(f, "lifecycle s Started Booted"), !moments[i].runs);
		if (pid)
			assert_int_equal(worker_of(f), pid);
		expect(f, REQUEST("3", "DestroyDomain", "[\"s\"]"), DONE("3"));
		/* Even now it is not started again. */
		expect(f, KEYED("4", "StartDomain", "\"domain\":\"s\"", "k"), DONE("4"));
		assert_int_equal(find(f, "s")->phase, DOMAIN_IDLE);
		while (f->manager->once->n_entries) {
			struct once_entry *e =
				list_entry(f->manager->once->entries.next, struct once_entry, link);

			once_file_remove(e);
			(void)once_entry_free(e);
		}
	}
}

static void reopen(struct fixture *f)
{
	close_server();
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	open_server(f);
}

/* What has come of a start is known for good once its worker has said so, whatever becomes of the domain and the daemon. */
static void test_killed_start_later(void **state)
{
	struct fixture *f = *state;

	fixture_define(f, "s", "", "");
	start_killed(f, die_when_started, ONCE_STEP_X_MAX);
	RUN_UNTIL(f, find(f, "s")->state == DOMAIN_STATE_RUNNING);
	expect(f, REQUEST("2", "DestroyDomain", "[\"s\"]"), DONE("2"));
	reopen(f);
	expect(f, KEYED("3", "StartDomain", "\"domain\":\"s\"", "k"), DONE("3"));
	assert_int_equal(find(f, "s")->phase, DOMAIN_IDLE);
}

/* The process was there, and had not been told to start: it has ended with its daemon, and a retry starts another one. */
static void test_killed_before_start(void **state)
{
	struct fixture *f = *state;

	fixture_define(f, "s", "", "");
	start_killed(f, die_when_starting, ONCE_STEP_X_MAX);
	assert_int_equal(find(f, "s")->phase, DOMAIN_IDLE);
	assert_int_equal(f->manager->once->n_entries, 0);
	expect(f, KEYED("2", "StartDomain", "\"domain\":\"s\"", "k"), DONE("2"));
	assert_int_equal(find(f, "s")->state, DOMAIN_STATE_RUNNING);
}

static const char *told; /* the domain that is started */

/* It is about to be told: what becomes of it is written, START is not sent. */
static int die_before_start(void *opaque, enum store_step step, const char *name)
{
	(void)name;
	struct fixture *f = opaque;
	char uuid[UUID_STRING_LEN + 1], tmp[256], path[256];
	const struct domain *d = find(f, told);

	if (!d || d->phase != DOMAIN_STARTING || step != STORE_STEP_RENAME)
		return 0;
	uuid_format(d->uuid, uuid);
	snprintf(tmp, sizeof(tmp), "%s/domains/%s/.tmp-status.json", f->runtime, uuid);
	snprintf(path, sizeof(path), "%s/domains/%s/status.json", f->runtime, uuid);
	if (rename(tmp, path) == 0)
		_exit(7);
	return 0;
}

static void die_when_told(struct fixture *f)
{
	f->manager->store->fault_opaque = f;
	f->manager->store->fault = die_before_start;
}

/* Whether it was told is not known, whichever is found: a process that has ended already, or one that says that it was not told, or
 * one that ends without a word. */
static void test_killed_at_start(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {"s", "clings"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char request[256];

		told = names[i];
		fixture_define(f, names[i], "", "");
		snprintf(request, sizeof(request),
			KEYED("1", "StartDomain", "\"domain\":\"%s\"", "k%zu"), names[i], i);
		die_at_work = die_when_told;
		killed_daemon(f, request, ONCE_STEP_X_MAX);
		die_at_work = NULL;
		if (i)
			assert_int_equal(find(f, names[i])->phase, DOMAIN_ACTIVE);
		for (unsigned retries = 0; retries < 2; retries++)
			expect(f, request, FAILED("1", "-32018"));
		RUN_UNTIL(f, find(f, names[i])->phase == DOMAIN_IDLE);
		expect(f, request, FAILED("1", "-32018"));
	}
}

/* It was started, and was over before the next daemon came: a retry does not start it again, defined or transient. */
static void test_killed_and_gone(void **state)
{
	struct fixture *f = *state;

	for (unsigned transient = 0; transient < 2; transient++) {
		pid_t pid;

		if (!transient)
			fixture_define(f, "s", "", "");
		die_at_work = die_when_started;
		if (transient)
			killed_daemon(f, xml_request(f, "CreateDomain", "s", "t"), ONCE_STEP_X_MAX);
		else
			start_killed(f, die_when_started, ONCE_STEP_X_MAX);
		die_at_work = NULL;
		/* The worker lives: it is ended here, and another daemon comes. */
		pid = worker_of(f);
		close_server();
		f->manager = manager_free(f->manager);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		fixture_open_manager(f);
		open_server(f);
		RUN_UNTIL(f, !find(f, "s") || find(f, "s")->phase == DOMAIN_IDLE);
		if (transient)
			expect(f, xml_request(f, "CreateDomain", "s", "t"), FAILED("7", "-32018"));
		else
			expect(f, KEYED("2", "StartDomain", "\"domain\":\"s\"", "k"),
				FAILED("2", "-32018"));
		assert_false(find(f, "s") && domain_is_active(find(f, "s")));
		if (!transient)
			expect(f, REQUEST("3", "UndefineDomain", "[\"s\"]"), DONE("3"));
	}
}

/* Its state has changed, and nobody has been answered. */
static enum domain_state dies_in;

static void on_state_changed(struct event_sink *sink, const struct domain *d)
{
	(void)sink;
	if (d->phase == DOMAIN_ACTIVE && d->state == dies_in)
		_exit(7);
}

static void die_in_state(struct fixture *f)
{
	/* Not for what it is when this daemon finds it. */
	if (find(f, "s")->state != dies_in)
		f->sink.changed = on_state_changed;
}

static void change_killed(
	struct fixture *f, const char *request, enum domain_state state, enum once_step step)
{
	dies_in = state;
	die_at_work = step == ONCE_STEP_X_MAX ? die_in_state : NULL;
	killed_daemon(f, request, step);
	die_at_work = NULL;
}

/* Its worker says whether it is paused: it has happened, and is not done again whatever others do, or it has not, and is done. */
static void test_killed_suspend(void **state)
{
	static const struct {
		const char *method, *back;
		enum domain_state from, to;
	} rows[] = {{"SuspendDomain", "ResumeDomain", DOMAIN_STATE_RUNNING, DOMAIN_STATE_PAUSED},
		{"ResumeDomain", "SuspendDomain", DOMAIN_STATE_PAUSED, DOMAIN_STATE_RUNNING}};
	struct fixture *f = *state;
	char request[256], back[256];

	fixture_start(f, fixture_define(f, "s", "", ""));
	for (size_t i = 0; i < 2; i++)
		for (unsigned happened = 0; happened < 2; happened++) {
			snprintf(request, sizeof(request),
				KEYED("1", "%s", "\"domain\":\"s\"", "%zu%u"), rows[i].method, i,
				happened);
			snprintf(back, sizeof(back), REQUEST("2", "%s", "[\"s\"]"), rows[i].back);
			if (find(f, "s")->state != rows[i].from)
				expect(f, back, DONE("2"));
			change_killed(f, request, rows[i].to,
				happened ? ONCE_STEP_X_MAX : ONCE_STEP_INTENT);
			/* A retry may come before the worker has spoken. */
			if (!happened) {
				expect(f, request, DONE("1"));
				assert_int_equal(find(f, "s")->state, rows[i].to);
				continue;
			}
			RUN_UNTIL(f, worker_is_connected(find(f, "s")->worker));
			assert_int_equal(find(f, "s")->state, rows[i].to);
			expect(f, back, DONE("2"));
			expect(f, request, DONE("1"));
			assert_int_equal(find(f, "s")->state, rows[i].from);
		}
}

/* The worker has been asked. */
static void die_when_asked(struct fixture *f)
{
	static unsigned turns;

	if (f->manager->once->n_entries && worker_is_connected(find(f, "s")->worker) && ++turns > 3)
		_exit(7);
}

/* A pause that takes its time is under way when the next daemon comes: a retry waits for it, and for nothing that was to be. */
static void test_killed_slow_suspend(void **state)
{
	static const char request[] = KEYED("1", "SuspendDomain", "\"domain\":\"s\"", "k");
	struct fixture *f = *state;

	fixture_start(f, fixture_define(f, "s", "fake=slow-pause", ""));
	die_at_work = die_when_asked;
	killed_daemon(f, request, ONCE_STEP_X_MAX);
	die_at_work = NULL;
	RUN_UNTIL(f, worker_is_connected(find(f, "s")->worker));
	assert_int_equal(find(f, "s")->state, DOMAIN_STATE_RUNNING);
	say(&c2, request);
	say(&c2, "\n");
	for (unsigned i = 0; i < 5; i++)
		assert_true(sd_event_run(f->event, 20000) >= 0);
	take_bytes(&c2);
	assert_int_equal(c2.len, 0);
	(void)worker_probe(find(f, "s")->worker);
	assert_string_equal(hear(f, &c2), DONE("1"));
	assert_int_equal(find(f, "s")->state, DOMAIN_STATE_PAUSED);
	assert_int_equal(count_events(f, "lifecycle s Suspended Paused"), 1);
}

/* What cannot be known is said so, and what can be done; what shows later is known then. */
static void test_killed_reset(void **state)
{
	struct fixture *f = *state;

	fixture_start(f, fixture_define(f, "s", "fake=ignore-button", ""));
	killed_daemon(f, KEYED("1", "ResetDomain", "\"domain\":\"s\"", "k"), ONCE_STEP_INTENT);
	expect(f, KEYED("2", "ResetDomain", "\"domain\":\"s\"", "k"), FAILED("2", "-32018"));
	assert_non_null(strstr(ask(f, &c1, KEYED("2", "ResetDomain", "\"domain\":\"s\"", "k")),
		"\"remedy\":\"Of a reset nothing is left to see but the guest's own uptime."));
	killed_daemon(f, KEYED("1", "ShutdownDomain", "\"domain\":\"s\"", "l"), ONCE_STEP_INTENT);
	killed_daemon(f, KEYED("1", "RebootDomain", "\"domain\":\"s\"", "m"), ONCE_STEP_INTENT);
	assert_non_null(strstr(ask(f, &c1, KEYED("2", "ShutdownDomain", "\"domain\":\"s\"", "l")),
		"\"remedy\":\"Wait for the machine to be off"));
	expect(f, KEYED("3", "RebootDomain", "\"domain\":\"s\"", "m"), FAILED("3", "-32018"));
	expect(f, REQUEST("4", "DestroyDomain", "[\"s\"]"), DONE("4"));
	expect(f, KEYED("5", "ShutdownDomain", "\"domain\":\"s\"", "l"), DONE("5"));
	expect(f, KEYED("6", "RebootDomain", "\"domain\":\"s\"", "m"), FAILED("6", "-32018"));
	expect(f, KEYED("7", "ResetDomain", "\"domain\":\"s\"", "k"), FAILED("7", "-32018"));
	/* What does not run was not reset. */
	killed_daemon(f, KEYED("1", "ResetDomain", "\"domain\":\"s\"", "n"), ONCE_STEP_INTENT);
	expect(f, KEYED("8", "ResetDomain", "\"domain\":\"s\"", "n"), FAILED("8", "-32006"));
}

/* Of a button that was pressed nothing is seen: it is not pressed again. */
static void test_killed_button(void **state)
{
	struct fixture *f = *state;

	fixture_start(f, fixture_define(f, "s", "fake=ignore-button", ""));
	killed_daemon(f, KEYED("1", "ShutdownDomain", "\"domain\":\"s\"", "k"), ONCE_STEP_INTENT);
	expect(f, KEYED("2", "ShutdownDomain", "\"domain\":\"s\"", "k"), FAILED("2", "-32018"));
	killed_daemon(f, KEYED("1", "ShutdownDomain", "\"domain\":\"s\"", "l"), ONCE_STEP_BEGIN);
	expect(f, KEYED("3", "ShutdownDomain", "\"domain\":\"s\"", "l"), DONE("3"));
	/* The refusal outlives daemons, too. */
	expect(f, KEYED("4", "ShutdownDomain", "\"domain\":\"s\"", "k"), FAILED("4", "-32018"));
	/* Nobody sees of huge pages of the host who made them; the pages of 1 KiB here nobody can make. */
#define PAGES "\"size_kib\":1,\"count\":1,\"flags\":1"
	killed_daemon(f, KEYED("1", "AllocPages", PAGES, "p"), ONCE_STEP_INTENT);
	expect(f, KEYED("2", "AllocPages", PAGES, "p"), FAILED("2", "-32018"));
	/* About a domain that is not there, nothing can have happened. */
	killed_daemon(f, KEYED("1", "ShutdownDomain", "\"domain\":\"x\"", "m"), ONCE_STEP_INTENT);
	expect(f, KEYED("5", "ShutdownDomain", "\"domain\":\"x\"", "m"), FAILED("5", "-32001"));
}

/* That run is destroyed, and no other. */
static void test_killed_destroy(void **state)
{
	struct fixture *f = *state;

	fixture_define(f, "s", "", "");
	for (unsigned other = 0; other < 2; other++) {
		fixture_start(f, find(f, "s"));
		killed_daemon(
			f, KEYED("1", "DestroyDomain", "\"domain\":\"s\"", "k"), ONCE_STEP_INTENT);
		RUN_UNTIL(f, find(f, "s")->state == DOMAIN_STATE_RUNNING);
		if (other) {
			expect(f, REQUEST("2", "DestroyDomain", "[\"s\"]"), DONE("2"));
			expect(f, REQUEST("3", "StartDomain", "[\"s\"]"), DONE("3"));
		}
		expect(f, KEYED("4", "DestroyDomain", "\"domain\":\"s\"", "k"), DONE("4"));
		assert_int_equal(find(f, "s")->phase == DOMAIN_ACTIVE, other);
		if (!other) {
			struct once_entry *e =
				list_entry(f->manager->once->entries.next, struct once_entry, link);

			once_file_remove(e);
			(void)once_entry_free(e);
		}
	}
}

static void test_killed_network(void **state)
{
	struct fixture *f = *state;
	static const char xml[] = "<network><name>n</name></network>";

	for (enum once_step step = 0; step < ONCE_STEP_X_MAX; step++) {
		char request[512];

		snprintf(request, sizeof(request),
			"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"CreateNetwork\",\"params\":{"
			"\"xml\":\"%s\",\"idempotency_key\":\"%d\"}}",
			xml, (int)step);
		killed_daemon(f, request, step);
		assert_int_equal(f->manager->n_networks, step >= ONCE_STEP_HANDLED);
		expect(f, request, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"name\":\"n\",");
		assert_int_equal(f->manager->n_networks, 1);
		expect(f, REQUEST("2", "DestroyNetwork", "[\"n\"]"), DONE("2"));
		expect(f, request, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"name\":\"n\",");
		assert_int_equal(f->manager->n_networks, 0);
	}
}

/* The worker of a network runs, and the daemon that is told so is killed before it has noted it. */
static struct fixture *child;

static int die_before_status(void *opaque, enum store_step step, const char *name)
{
	(void)name;
	const struct network *n = network_find_name(child->manager, "n");

	(void)opaque;
	(void)step;
	if (n && n->phase == NETWORK_ACTIVE)
		_exit(7);
	return 0;
}

static void die_when_net_started(struct fixture *f)
{
	child = f;
	f->manager->store->fault = die_before_status;
}

static void test_killed_network_start(void **state)
{
	struct fixture *f = *state;
	static const char request[] =
		KEYED("1", "CreateNetwork", "\"xml\":\"<network><name>n</name></network>\"", "k");
	pid_t pid;

	die_at_work = die_when_net_started;
	killed_daemon(f, request, ONCE_STEP_X_MAX);
	die_at_work = NULL;
	assert_int_equal(f->manager->n_networks, 1);
	pid = worker_pid(network_find_name(f->manager, "n")->worker);
	expect(f, request, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"name\":\"n\",");
	assert_int_equal(worker_pid(network_find_name(f->manager, "n")->worker), pid);
}

/* The folder is full when the outcome is to be written; then the daemon ends. The answer is lost, but it is known that there was one. */
static int no_room(void *opaque, enum store_step step, const char *name)
{
	(void)name;
	(void)opaque;
	return step == STORE_STEP_WRITE ? -ENOSPC : 0;
}

static struct fixture *full;

static void fill(enum once_step step)
{
	if (step == ONCE_STEP_HANDLED)
		full->manager->store->fault = no_room;
}

static void test_full(void **state)
{
	struct fixture *f = *state;

	fixture_define(f, "s", "", "");
	full = f;
	f->manager->once->step = fill;
	expect(f, KEYED("1", "StartDomain", "\"domain\":\"s\"", "k"), DONE("1"));
	expect(f, KEYED("2", "StartDomain", "\"domain\":\"s\"", "k"), DONE("2"));
	/* Nothing is begun without a record. */
	expect(f, KEYED("3", "ResetDomain", "\"domain\":\"s\"", "l"), FAILED("3", "-32009"));
	f->manager->store->fault = NULL;
	expect(f, REQUEST("4", "DestroyDomain", "[\"s\"]"), DONE("4"));
	reopen(f);
	expect(f, KEYED("5", "StartDomain", "\"domain\":\"s\"", "k"), FAILED("5", "-32018"));
	assert_int_equal(find(f, "s")->phase, DOMAIN_IDLE);
}

/* What is no record does no harm. */
static void test_damage(void **state)
{
	struct fixture *f = *state;
	static const char *const texts[] = {"", "{}", "[]", "{\"version\":1}", "nonsense"};
	char path[192];

	fixture_define(f, "s", "", "");
	expect(f, KEYED("1", "StartDomain", "\"domain\":\"s\",\"flags\":2", "k"), DONE("1"));
	close_server();
	f->manager = manager_free(f->manager);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		FILE *file;

		snprintf(path, sizeof(path), "%s/once/%zu", f->runtime, 100 + i);
		file = fopen(path, "w");
		assert_non_null(file);
		fputs(texts[i], file);
		fclose(file);
	}
	snprintf(path, sizeof(path), "%s/once/.tmp-3", f->runtime);
	fclose(fopen(path, "w"));
	log_init("test", LOG_CRIT, NULL);
	fixture_open_manager(f);
	log_init("test", LOG_ERR, NULL);
	open_server(f);
	assert_int_equal(f->manager->once->n_entries, 1);
	assert_int_equal(access(path, F_OK), -1);
	expect(f, KEYED("2", "StartDomain", "\"domain\":\"s\",\"flags\":2", "k"), DONE("2"));
	expect(f, KEYED("3", "ResumeDomain", "\"domain\":\"s\"", "l"), DONE("3"));
}

/* Each method that changes something takes a key, but for those that set a value, or answer an fd. */
static void test_table(void **state)
{
	static const char *const others[] = {"CancelJob", "SetAutostart", "SetNetworkAutostart",
		"SetInterfaceLink", "SetInterfaceTune", "SetVcpus", "SetVcpuPin", "SetEmulatorPin",
		"SetIothreadPin", "SetCpuTune", "SetMemoryTune", "SetNumaTune", "SetMemory",
		"SetMaxMemory", "SetMemoryStatsPeriod", "OpenConsole", "OpenCapture",
		"OpenNetworkCapture", "UpdateDevice", "UpdateMemoryDevice", "SetMemoryPolicy"};

	(void)state;
	for (size_t i = 0; i < n_api_methods; i++) {
		const struct api_method *m = &api_methods[i];
		bool other = m->role <= API_ROLE_READER || m->only_looks;

		for (size_t k = 0; k < ARRAY_SIZE(others); k++)
			other = other || streq(others[k], m->name);
		if (once_takes_key(m) == other)
			fail_msg("%s", m->name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_retry, setup, teardown),
		cmocka_unit_test_setup_teardown(test_applied, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_misuse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_under_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_define, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_start_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_before_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_at_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_and_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_suspend, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_slow_suspend, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_button, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_destroy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_network, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_network_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
		cmocka_unit_test(test_table),
	};

	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	log_init("test", LOG_ERR, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
