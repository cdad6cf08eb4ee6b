/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records of calls that happen once, as files: RUNTIME/once/NUMBER is one record as JSON, NUMBER.lost an intent whose outcome
 * could not be written. Written old-or-new; not durable, as the folder does not survive a boot. See once.h.
 *
 * Tested by tests/unit/test-once.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/once-internal.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define VERSION   1
#define FILE_MAX  (2 * ONCE_MAX_ANSWER + 64 * 1024) /* the answer is a string in it */
#define NAME_SIZE 32
#define LOST      ".lost"

static const char *const states[ONCE_STATE_X_MAX] = {
	[ONCE_BEGUN] = "begun",
	[ONCE_DONE] = "done",
	[ONCE_HAPPENED] = "happened",
	[ONCE_SAME_RUN] = "same-run",
	[ONCE_UNKNOWN] = "unknown",
	[ONCE_NOTHING] = "nothing",
};

static const char *const kinds[ONCE_KIND_X_MAX] = {
	[ONCE_NO_OBJECT] = "none",
	[ONCE_DOMAIN] = "domain",
	[ONCE_NETWORK] = "network",
	[ONCE_HOST] = "host",
};

static void add_string(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static void add_digest(struct json_object *o, const char *key, struct digest digest)
{
	char text[40];

	(void)snprintf(text, sizeof(text), "%016" PRIx64 "%016" PRIx64, digest.high, digest.low);
	add_string(o, key, text);
}

static struct json_object *object_to_json(const struct once_object *object)
{
	struct json_object *o = json_object_new_object();
	char uuid[UUID_STRING_LEN + 1];

	uuid_format(object->uuid, uuid);
	add_string(o, "kind", kinds[object->kind]);
	json_object_object_add(o, "exists", json_object_new_boolean(object->exists));
	add_string(o, "name", object->name);
	add_string(o, "uuid", uuid);
	add_digest(o, "definition", object->definition);
	add_digest(o, "running", object->running);
	json_object_object_add(o, "run", json_object_new_int64(object->run));
	json_object_object_add(o, "state", json_object_new_int(object->state));
	json_object_object_add(o, "reason", json_object_new_int(object->reason));
	return o;
}

static struct json_object *to_json(const struct once_entry *e)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "version", json_object_new_int(VERSION));
	add_string(o, "caller", e->caller);
	add_string(o, "key", e->key);
	add_string(o, "method", e->rule->method);
	add_digest(o, "arguments", e->arguments);
	json_object_object_add(o, "at_s", json_object_new_uint64(e->at_s));
	json_object_object_add(o, "before", object_to_json(&e->before));
	add_string(o, "state", states[e->state]);
	if (e->answer)
		add_string(o, "answer", e->answer);
	if (e->message)
		add_string(o, "message", e->message);
	json_object_object_add(o, "code", json_object_new_int(error_code_rpc(e->code)));
	return o;
}

static void file_name(const struct once_entry *e, const char *suffix, char ret[NAME_SIZE])
{
	(void)snprintf(ret, NAME_SIZE, "%" PRIu64 "%s", e->number, suffix);
}

int once_file_save(const struct once_entry *e)
{
	struct json_object *o = to_json(e);
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	char name[NAME_SIZE];
	int r;

	file_name(e, "", name);
	r = text ? store_save_in(e->once->manager->store, e->once->dir_fd, name, text) : -ENOMEM;
	json_object_put(o);
	return r;
}

void once_file_lose(const struct once_entry *e)
{
	char name[NAME_SIZE], lost[NAME_SIZE];

	file_name(e, "", name);
	file_name(e, LOST, lost);
	if (renameat(e->once->dir_fd, name, e->once->dir_fd, lost) < 0 && errno != ENOENT)
		(void)log_error_errno(
			errno, "the record of %s with a key cannot be kept: %m", e->rule->method);
}

void once_file_remove(const struct once_entry *e)
{
	char name[NAME_SIZE];

	file_name(e, "", name);
	(void)unlinkat(e->once->dir_fd, name, 0);
	file_name(e, LOST, name);
	(void)unlinkat(e->once->dir_fd, name, 0);
}

static const char *get_string(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string)
		? json_object_get_string(v)
		: NULL;
}

static int64_t get_int(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v) : 0;
}

/* Exactly 32 hexadecimal digits. */
static bool get_digest(struct json_object *o, const char *key, struct digest *ret)
{
	const char *text = get_string(o, key);

	return text && strlen(text) == 32 && strspn(text, "0123456789abcdef") == 32 &&
		sscanf(text, "%16" SCNx64 "%16" SCNx64, &ret->high, &ret->low) == 2;
}

static bool copy_string(struct json_object *o, const char *key, char *ret, size_t size)
{
	const char *text = get_string(o, key);

	return text && str_copy(ret, size, text) == 0;
}

/* The index of the word, or -1. */
static int find_word(const char *const *words, size_t n, const char *word)
{
	for (size_t i = 0; word && i < n; i++)
		if (streq(words[i], word))
			return (int)i;
	return -1;
}

static bool read_object(struct json_object *o, struct once_object *ret)
{
	int kind = find_word(kinds, ARRAY_SIZE(kinds), get_string(o, "kind"));
	const char *uuid = get_string(o, "uuid");

	if (kind < 0 || !uuid || uuid_parse(uuid, ret->uuid) < 0 ||
		!copy_string(o, "name", ret->name, sizeof(ret->name)) ||
		!get_digest(o, "definition", &ret->definition) ||
		!get_digest(o, "running", &ret->running))
		return false;
	ret->kind = (enum once_kind)kind;
	ret->exists = json_object_get_boolean(json_object_object_get(o, "exists"));
	ret->run = get_int(o, "run");
	ret->state = (int)get_int(o, "state");
	ret->reason = (int)get_int(o, "reason");
	return true;
}

/* JSON-RPC's numbers outlive a change of the enum. */
static bool read_code(struct json_object *o, enum error_code *ret)
{
	int64_t rpc = get_int(o, "code");

	for (enum error_code code = ERROR_NONE; code < ERROR_CODE_X_MAX; code++)
		if (error_code_rpc(code) == rpc) {
			*ret = code;
			return true;
		}
	return false;
}

/* No answer, or one that can be given. */
static bool is_answer(const char *text)
{
	struct json_object *o = text ? json_tokener_parse(text) : NULL;
	bool is = !text || json_object_is_type(o, json_type_object);

	json_object_put(o);
	return is;
}

static bool from_json(struct json_object *o, struct once_entry *e)
{
	int state = find_word(states, ARRAY_SIZE(states), get_string(o, "state"));
	const char *method = get_string(o, "method"), *answer = get_string(o, "answer");
	const char *message = get_string(o, "message");

	e->rule = method ? once_find_rule(method) : NULL;
	if (get_int(o, "version") != VERSION || get_int(o, "at_s") < 0 || state < 0 || !e->rule ||
		!read_code(o, &e->code) ||
		!copy_string(o, "caller", e->caller, sizeof(e->caller)) ||
		!copy_string(o, "key", e->key, sizeof(e->key)) ||
		!get_digest(o, "arguments", &e->arguments) ||
		!read_object(json_object_object_get(o, "before"), &e->before) ||
		e->before.kind > e->rule->kind || (e->code != ERROR_NONE && !message) ||
		!is_answer(answer))
		return false;
	e->state = (enum once_state)state;
	e->at_s = (uint64_t)get_int(o, "at_s");
	e->answer = answer ? strdup(answer) : NULL;
	e->message = message ? strdup(message) : NULL;
	e->once->bytes +=
		(e->answer ? strlen(e->answer) : 0) + (e->message ? strlen(e->message) : 0);
	return (e->answer || !answer) && (e->message || !message);
}

/* A record, or nothing of it. */
static void load_one(struct once *once, const char *name, uint64_t number, bool lost)
{
	_cleanup_(freep) char *text = NULL;
	struct once_entry *e = once_entry_new(once, number);
	struct json_object *o = NULL;
	int r = e ? read_file(once->dir_fd, name, FILE_MAX, &text, NULL) : -ENOMEM;

	if (r == 0)
		o = json_tokener_parse(text);
	if (r < 0 || !json_object_is_type(o, json_type_object) || !from_json(o, e)) {
		log_warning("%s/" ONCE_FOLDER "/%s cannot be read: the key is forgotten",
			once->manager->store->runtime_dir, name);
		(void)unlinkat(once->dir_fd, name, 0);
		(void)once_entry_free(e);
	} else if (lost) {
		e->state = ONCE_UNKNOWN;
	}
	json_object_put(o);
}

/* "17" or "17.lost". */
static bool parse_name(const char *name, uint64_t *ret_number, bool *ret_lost)
{
	size_t n = strlen(name);
	char digits[NAME_SIZE];

	*ret_lost = n > strlen(LOST) && streq(name + n - strlen(LOST), LOST);
	if (*ret_lost)
		n -= strlen(LOST);
	if (n >= sizeof(digits))
		return false;
	memcpy(digits, name, n);
	digits[n] = 0;
	/* As file_name() writes it, or the record could not be found again. */
	return (*digits != '0' || n == 1) && parse_u64(digits, INT64_MAX - 1, ret_number) == 0;
}

int once_file_load(struct once *once)
{
	struct dirent **names;
	int n;

	if (mkdirat(once->manager->store->runtime_fd, ONCE_FOLDER, 0700) < 0 && errno != EEXIST)
		return -errno;
	once->dir_fd = openat(once->manager->store->runtime_fd, ONCE_FOLDER,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (once->dir_fd < 0)
		return -errno;
	n = scandirat(once->dir_fd, ".", &names, NULL, versionsort);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		uint64_t number;
		bool lost;

		if (parse_name(names[i]->d_name, &number, &lost) &&
			once->n_entries < ONCE_MAX_ENTRIES)
			load_one(once, names[i]->d_name, number, lost);
		else
			(void)unlinkat(once->dir_fd, names[i]->d_name, 0);
		free(names[i]);
	}
	free(names);
	return 0;
}
