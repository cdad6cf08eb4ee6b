/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Daemons that are killed (SIGKILL) while 64 calls are under way over JSON-RPC, or while they idle, N_LIVES times. Of each life: who waits
 * for an answer gets the end of the connection and does not hang; the next daemon finds every worker, the same processes, which
 * have counted on; a retry with the same key of each call that was not answered does it or finds it done, so that in the end all
 * domains are what was asked for; and there is no process that is nobody's.
 *
 * test-killed-daemon [WORKER KERNEL LIVES]: with the real worker and a guest (guest-spin); then its processor time is what it counts.
 */
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "daemon-fixture.h"
#include "daemon/process.h"
#include "daemon/rpc.h"
#include "daemon/stats-view.h"
#include "tests/unit/tally.h"

#define N_LIVES    500
#define N_COUNTERS 8 /* machines that run all the time */
#define N_DOMAINS  4
#define N_CALLS    64
#define N_OF_EACH  (N_CALLS / N_DOMAINS)
#define IDLE_EVERY 10

/* What is asked for. */
struct wanted {
	char name[16];
	bool there;
};

struct call {
	char *text; /* NULL: it changes nothing, and is not tried again */
	bool answered;
};

static struct wanted domains[N_DOMAINS];
static pid_t counters[N_COUNTERS];
static struct call calls[N_CALLS];
static pid_t daemon_pid;
static int sock = -EBADF;
static FILE *in;
static const char *worker, *kernel;
static unsigned n_counters = N_COUNTERS, n_lives = N_LIVES, n_kills, n_answered, n_retried,
		n_interrupted, n_found, n_idle;
static unsigned last_key;

/* The next number of a fixed sequence, below n. */
static unsigned dice(unsigned n)
{
	static uint64_t x = 0x2545f4914f6cdd1d;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (unsigned)(x >> 33) % n;
}

static void socket_address(const struct fixture *f, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(ret->sun_path, sizeof(ret->sun_path), "%.90s/" RPC_SOCKET, f->runtime);
}

/* The daemon's whole life; 'ready' is closed when it listens. */
static _noreturn_ void live(struct fixture *f, int ready)
{
	struct sockaddr_un address;
	struct rpc *rpc;
	int fd;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sd_event_new(&f->event) < 0)
		_exit(2);
	fixture_open_manager(f);
	socket_address(f, &address);
	fd = rpc_open_socket(address.sun_path, 0600, 0);
	if (fd < 0 || rpc_new(f->manager, &(struct rpc_options){0}, &rpc) < 0 ||
		rpc_listen(rpc, fd) < 0)
		_exit(3);
	close(ready);
	for (;;)
		if (sd_event_run(f->event, UINT64_MAX) < 0)
			_exit(4);
}

static void start_daemon(struct fixture *f)
{
	struct sockaddr_un address;
	int ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	daemon_pid = fork();
	assert_true(daemon_pid >= 0);
	if (daemon_pid == 0) {
		close(ready[0]);
		live(f, ready[1]);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 0);
	close(ready[0]);
	socket_address(f, &address);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(sock, (struct sockaddr *)&address, sizeof(address)), 0);
	in = fdopen(sock, "r");
}

static void kill_daemon(void)
{
	assert_int_equal(kill(daemon_pid, SIGKILL), 0);
	assert_int_equal(waitpid(daemon_pid, NULL, 0), daemon_pid);
	n_kills++;
}

static void disconnect(void)
{
	fclose(in);
	sock = -EBADF;
}

static void say(const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(sock, text, len, MSG_NOSIGNAL), len);
}

/* The next answer; NULL: the connection has ended. Nobody waits longer than a minute. */
static struct json_object *hear(void)
{
	static char *line;
	static size_t size;
	ssize_t n;

	alarm(60);
	n = getline(&line, &size, in);
	alarm(0);
	if (n <= 0 || line[n - 1] != '\n')
		return NULL;
	return json_tokener_parse(line);
}

static int code_of(struct json_object *answer)
{
	struct json_object *error, *code;

	if (!json_object_object_get_ex(answer, "error", &error))
		return 0;
	assert_true(json_object_object_get_ex(error, "code", &code));
	return json_object_get_int(code);
}

/* Ask, and wait for the answer, which is no error (but for 'allowed'): its result, or NULL with that error. */
static struct json_object *ask(const char *text, int allowed)
{
	struct json_object *answer, *result = NULL;

	say(text);
	answer = hear();
	if (!answer || (code_of(answer) && code_of(answer) != allowed))
		fail_msg("'%s': '%s'", text, answer ? json_object_to_json_string(answer) : "");
	if (json_object_object_get_ex(answer, "result", &result))
		json_object_get(result);
	json_object_put(answer);
	return result;
}

static char *request(unsigned id, const char *method, const char *name, const char *xml, bool keyed)
{
	struct json_object *o = json_object_new_object(), *params = json_object_new_object();
	char key[32], *text;

	json_object_object_add(o, "jsonrpc", json_object_new_string("2.0"));
	json_object_object_add(o, "id", json_object_new_int((int)id));
	json_object_object_add(o, "method", json_object_new_string(method));
	if (name)
		json_object_object_add(params, "domain", json_object_new_string(name));
	if (xml)
		json_object_object_add(params, "xml", json_object_new_string(xml));
	snprintf(key, sizeof(key), "%u", ++last_key);
	if (keyed)
		json_object_object_add(params, "idempotency_key", json_object_new_string(key));
	json_object_object_add(o, "params", params);
	assert_true(asprintf(&text, "%s\n",
			    json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN)) > 0);
	json_object_put(o);
	return text;
}

static void ask_for(const char *method, const char *name, const char *xml)
{
	char *text = request(1, method, name, xml, false);

	json_object_put(ask(text, 0));
	free(text);
}

static uint64_t count(pid_t pid)
{
	struct process_usage usage = {0};
	struct stats_view *view;
	uint64_t n;

	if (worker) {
		assert_int_equal(process_usage(pid, &usage), 0);
		return usage.user_ns + usage.system_ns;
	}
	assert_int_equal(stats_view_find(STATS_VM, pid, &view), 0);
	n = stat_read(&stats_view_page(view)->heartbeat);
	(void)stats_view_free(view);
	return n;
}

/* The worker of a domain; 0: it is inactive, or not there. */
static pid_t pid_of(const char *name)
{
	char *text = request(1, "GetDomain", name, NULL, false);
	struct json_object *result = ask(text, -32001), *info, *pid;
	pid_t found = 0;

	free(text);
	if (result && json_object_object_get_ex(result, "info", &info) &&
		json_object_object_get_ex(info, "pid", &pid))
		found = json_object_get_int(pid);
	json_object_put(result);
	return found;
}

/* Processes whose parent is 'pid'. */
static unsigned count_children(pid_t pid)
{
	char path[64], word[32];
	unsigned n = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fscanf(file, "%31s", word) == 1)
		n++;
	fclose(file);
	return n;
}

/* Workers: who was not told to start when his daemon was killed ends by himself. */
static bool are_all(unsigned n)
{
	/* Those that died as orphans, and as children of a daemon that was killed, are ours. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return count_children(getpid()) - 1 + count_children(daemon_pid) == n;
}

/* All that is asked for is there, and nothing else runs. */
static void check(void)
{
	struct json_object *result, *list;
	unsigned n_there = 0;
	char *text;

	for (unsigned i = 0; i < N_DOMAINS; i++) {
		pid_t pid = pid_of(domains[i].name);

		if ((pid > 0) != domains[i].there)
			fail_msg("%s has worker %d", domains[i].name, pid);
		n_there += domains[i].there;
	}
	text = request(1, "ListDomains", NULL, NULL, false);
	result = ask(text, 0);
	free(text);
	assert_true(json_object_object_get_ex(result, "domains", &list));
	assert_int_equal(json_object_array_length(list), n_counters + n_there);
	json_object_put(result);
	for (unsigned ms = 0; !are_all(n_counters + n_there); ms++) {
		assert_true(ms < 60000);
		usleep(1000);
	}
}

static void check_counters(void)
{
	for (unsigned i = 0; i < n_counters; i++) {
		char name[16];
		uint64_t n;

		snprintf(name, sizeof(name), "counter%u", i);
		assert_int_equal(pid_of(name), counters[i]);
		n = count(counters[i]);
		for (unsigned ms = 0; count(counters[i]) == n; ms++) {
			assert_true(ms < 60000);
			usleep(1000);
		}
		n_found++;
	}
}

/* Those that were not answered, in their order. A start of which nobody knows is looked at, and started if it is not there. */
static void try_again(void)
{
	for (unsigned i = 0; i < N_CALLS; i++) {
		struct json_object *result;

		if (calls[i].text && !calls[i].answered) {
			result = ask(calls[i].text, -32018);
			n_retried++;
			if (!result) {
				const struct wanted *d = &domains[i / N_OF_EACH];

				n_interrupted++;
				assert_non_null(strstr(calls[i].text, "StartDomain"));
				while (pid_of(d->name))
					usleep(1000); /* it ends */
				ask_for("StartDomain", d->name, NULL);
			}
			json_object_put(result);
		}
		free(calls[i].text);
		calls[i].text = NULL;
	}
}

/* Of each domain two changes, and reads; what is there is destroyed and undefined, what is not is defined and started. */
static void send_calls(struct fixture *f)
{
	static char all[N_CALLS * 2048];
	size_t len = 0;

	for (unsigned i = 0; i < N_CALLS; i++) {
		static const char *const changes[2][2] = {
			{"DefineDomain", "StartDomain"}, {"DestroyDomain", "UndefineDomain"}};
		struct wanted *d = &domains[i / N_OF_EACH];
		unsigned nth = i % N_OF_EACH;
		bool is_change = nth == 0 || nth == 2;
		const char *method = is_change ? changes[d->there][nth / 2]
			: nth % 2              ? "GetDomain"
					       : "ListDomains";
		bool defines = streq(method, "DefineDomain");
		char *text =
			request(i, method, defines || streq(method, "ListDomains") ? NULL : d->name,
				defines ? fixture_xml(f, d->name, "halt", "") : NULL, is_change);

		len += (size_t)snprintf(all + len, sizeof(all) - len, "%s", text);
		assert_true(len < sizeof(all));
		calls[i] = (struct call){.text = is_change ? text : NULL};
		if (!is_change)
			free(text);
		if (nth == N_OF_EACH - 1)
			d->there = !d->there;
	}
	say(all);
}

static void note_answer(struct json_object *answer)
{
	struct json_object *id;
	unsigned i;

	assert_true(json_object_object_get_ex(answer, "id", &id));
	i = (unsigned)json_object_get_int(id);
	assert_true(i < N_CALLS && !calls[i].answered);
	/* Reads may come when the domain is not there. */
	if (code_of(answer) && (calls[i].text || code_of(answer) != -32001))
		fail_msg("%s", json_object_to_json_string(answer));
	calls[i].answered = true;
	n_answered++;
	json_object_put(answer);
}

static void one_life(struct fixture *f, unsigned life)
{
	unsigned n_before = dice(N_CALLS + 1);
	struct json_object *answer;

	start_daemon(f);
	try_again();
	check();
	check_counters();
	if (life % IDLE_EVERY == 0) {
		n_idle++;
		kill_daemon();
		assert_null(hear());
	} else {
		send_calls(f);
		for (unsigned i = 0; i < n_before; i++) {
			answer = hear();
			assert_non_null(answer);
			note_answer(answer);
		}
		if (dice(2))
			usleep(dice(1000));
		kill_daemon();
		while ((answer = hear()))
			note_answer(answer);
	}
	disconnect();
}

static void test_kills(void **state)
{
	struct fixture *f = *state;

	f->manager = manager_free(f->manager);
	if (worker) {
		snprintf(f->worker, sizeof(f->worker), "%s", worker);
		snprintf(f->kernel, sizeof(f->kernel), "%s", kernel);
		f->kvm = true;
	}
	for (unsigned i = 0; i < N_DOMAINS; i++)
		snprintf(domains[i].name, sizeof(domains[i].name), "d%u", i);
	start_daemon(f);
	for (unsigned i = 0; i < n_counters; i++) {
		char name[16];

		snprintf(name, sizeof(name), "counter%u", i);
		ask_for("DefineDomain", NULL, fixture_xml(f, name, "fake=count", ""));
		ask_for("StartDomain", name, NULL);
		counters[i] = pid_of(name);
	}
	kill_daemon();
	disconnect();
	for (unsigned life = 1; life <= n_lives; life++)
		one_life(f, life);
	start_daemon(f);
	try_again();
	check();
	check_counters();
	kill_daemon();
	disconnect();
	print_message("%u daemons killed, %u of them idle, the others with %d calls under way: %u "
		      "answered, %u tried again, "
		      "of %u starts nobody knew; %u workers found\n",
		n_kills, n_idle, N_CALLS, n_answered, n_retried, n_interrupted, n_found);
	tally(TALLY_FAULTS, n_kills);
	fixture_open_manager(f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kills, fixture_setup, fixture_teardown),
	};

	if (argc == 4) {
		worker = argv[1];
		kernel = argv[2];
		n_lives = (unsigned)strtoul(argv[3], NULL, 10);
		/* They spin. */
		n_counters = 2;
		if (access("/dev/kvm", R_OK | W_OK) < 0) {
			print_message("SKIP: no /dev/kvm\n");
			return 77;
		}
	}
	log_init("test", LOG_CRIT, NULL);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
