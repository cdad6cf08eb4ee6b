/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions that change together, as a record of the journal: see changeset.h. */
#include "daemon/changeset.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/digest.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

#define MAGIC   "vmmd-journal "
#define VERSION "1 "
/* "save networks UUID LENGTH" and a newline fit, with room; so does the first line. */
#define LINE_MAX_BYTES 192

static const char *const kind_names[CHANGESET_KIND_X_MAX] = {"domains", "networks"};
static const char *const verb_names[CHANGESET_VERB_X_MAX] = {"save", "delete", "flag", "unflag"};

/* Of what follows the first line, and of that line as far as it goes. */
static void digest(const char *body, size_t size, const char *head, char ret[DIGEST_TEXT_SIZE])
{
	digest_format(digest_more(digest_of(body, size), head, strlen(head)), ret);
}

/* At 'out', of LINE_MAX_BYTES. */
static size_t put_line(char *out, const struct changeset_item *item)
{
	char uuid[UUID_STRING_LEN + 1];
	int n;

	uuid_format(item->uuid, uuid);
	n = snprintf(out, LINE_MAX_BYTES, "%s %s %s", verb_names[item->verb],
		kind_names[item->kind], uuid);
	if (item->verb == CHANGESET_SAVE)
		n += snprintf(out + n, LINE_MAX_BYTES - (size_t)n, " %zu", strlen(item->xml));
	out[n] = '\n';
	return (size_t)n + 1;
}

static size_t xml_len(const struct changeset_item *item)
{
	return item->verb == CHANGESET_SAVE ? strlen(item->xml) : 0;
}

static size_t put_items(char *out, const struct changeset_item *items, size_t n)
{
	char *end = out;

	for (size_t i = 0; i < n; i++) {
		size_t len = xml_len(&items[i]);

		end += put_line(end, &items[i]);
		if (items[i].verb != CHANGESET_SAVE)
			continue;
		memcpy(end, items[i].xml, len);
		end += len;
		*end++ = '\n';
	}
	return (size_t)(end - out);
}

/* An upper bound of the text, or 0: it is too long. */
static size_t bound(const struct changeset_item *items, size_t n)
{
	size_t max = 2 * LINE_MAX_BYTES;

	if (n > CHANGESET_MAX)
		return 0;
	for (size_t i = 0; i < n; i++) {
		size_t len = xml_len(&items[i]);

		if (len > VMMD_MAX_XML_BYTES || max > CHANGESET_MAX_BYTES)
			return 0;
		max += LINE_MAX_BYTES + len + 1;
	}
	return max > CHANGESET_MAX_BYTES ? 0 : max;
}

int changeset_encode(const struct changeset_place *place, const struct changeset_item *items,
	size_t n, char **ret_text, size_t *ret_size)
{
	char head[LINE_MAX_BYTES], hash[DIGEST_TEXT_SIZE], *text;
	size_t max = bound(items, n), size, head_len;

	if (!max)
		return -EFBIG;
	text = malloc(max);
	if (!text)
		return -ENOMEM;
	/* The first line is known when the rest is: it moves up to it. */
	size = put_items(text + LINE_MAX_BYTES, items, n);
	(void)snprintf(head, sizeof(head), MAGIC VERSION "%016" PRIx64 " %" PRIu64 " %zu %zu ",
		place->generation, place->sequence, n, size);
	digest(text + LINE_MAX_BYTES, size, head, hash);
	head_len = (size_t)sprintf(text, "%s%s\n", head, hash);
	memmove(text + head_len, text + LINE_MAX_BYTES, size);
	text[head_len + size] = 0;
	*ret_text = text;
	*ret_size = head_len + size;
	return 0;
}

/* Cut the line at '*at' out: NUL for its newline. NULL: there is none before 'end', or it is too long. */
static char *take_line(char **at, char *end)
{
	char *line = *at, *newline = memchr(line, '\n', (size_t)(end - line));

	if (!newline || newline == line || newline[-1] == ' ' || newline - line >= LINE_MAX_BYTES ||
		memchr(line, 0, (size_t)(newline - line)))
		return NULL;
	*newline = 0;
	*at = newline + 1;
	return line;
}

/* Cut the word at '*at' out, up to a blank or the end. */
static char *take_word(char **at)
{
	char *word = *at;
	size_t len = strcspn(word, " ");

	*at += len;
	if (**at)
		*(*at)++ = 0;
	return word;
}

/* As it was written: no sign, no zeros in front. */
static int take_number(char **at, uint64_t max, uint64_t *ret)
{
	char *word = take_word(at), again[24];
	int r = parse_u64(word, max, ret);

	if (r < 0)
		return r;
	(void)snprintf(again, sizeof(again), "%" PRIu64, *ret);
	return streq(word, again) ? 0 : -EINVAL;
}

static int take_uuid(char **at, uint8_t ret[16])
{
	char *word = take_word(at), again[UUID_STRING_LEN + 1];

	if (uuid_parse(word, ret) < 0)
		return -EINVAL;
	uuid_format(ret, again);
	return streq(word, again) ? 0 : -EINVAL;
}

static int take_kind(char **at, enum changeset_kind *ret)
{
	const char *word = take_word(at);

	for (int i = 0; i < CHANGESET_KIND_X_MAX; i++)
		if (streq(word, kind_names[i])) {
			*ret = (enum changeset_kind)i;
			return 0;
		}
	return -EINVAL;
}

static int take_xml(char **at, char *end, char **line, struct changeset_item *item)
{
	uint64_t len;

	if (take_number(line, VMMD_MAX_XML_BYTES, &len) < 0 || (uint64_t)(end - *at) <= len ||
		(*at)[len] != '\n' || memchr(*at, 0, len))
		return -EBADMSG;
	(*at)[len] = 0;
	item->xml = *at;
	*at += len + 1;
	return 0;
}

static int take_verb(char **at, enum changeset_verb *ret)
{
	const char *word = take_word(at);

	for (int i = 0; i < CHANGESET_VERB_X_MAX; i++)
		if (streq(word, verb_names[i])) {
			*ret = (enum changeset_verb)i;
			return 0;
		}
	return -EINVAL;
}

static int take_item(char **at, char *end, struct changeset_item *item)
{
	char *line = take_line(at, end);
	int r = 0;

	if (!line || take_verb(&line, &item->verb) < 0 || take_kind(&line, &item->kind) < 0 ||
		take_uuid(&line, item->uuid) < 0)
		return -EBADMSG;
	if (item->verb == CHANGESET_SAVE)
		r = take_xml(at, end, &line, item);
	return r < 0 || *line ? -EBADMSG : 0;
}

struct head {
	struct changeset_place place;
	uint64_t n, size; /* items, and bytes after it */
	size_t len;       /* its own */
};

static int take_generation(char **at, uint64_t *ret)
{
	char *word = take_word(at), again[24], *end;

	*ret = strtoull(word, &end, 16);
	(void)snprintf(again, sizeof(again), "%016" PRIx64, *ret);
	return streq(word, again) ? 0 : -EINVAL;
}

/* The first line, and whether the rest is what it says. */
static int look(const char *text, size_t size, struct head *ret)
{
	char copy[LINE_MAX_BYTES + 1], signed_part[LINE_MAX_BYTES + 1], hash[DIGEST_TEXT_SIZE];
	char *at = copy, *line;
	size_t n = size < LINE_MAX_BYTES ? size : LINE_MAX_BYTES;

	if (n < strlen(MAGIC VERSION) || memcmp(text, MAGIC, strlen(MAGIC)) != 0)
		return -EBADMSG;
	if (memcmp(text + strlen(MAGIC), VERSION, strlen(VERSION)) != 0)
		return -EPROTONOSUPPORT;
	memcpy(copy, text, n);
	copy[n] = 0;
	line = take_line(&at, copy + n);
	if (!line)
		return -EBADMSG;
	ret->len = (size_t)(at - copy);
	memcpy(signed_part, copy, sizeof(copy));
	line += strlen(MAGIC VERSION);
	if (take_generation(&line, &ret->place.generation) < 0 ||
		take_number(&line, UINT64_MAX, &ret->place.sequence) < 0 ||
		take_number(&line, CHANGESET_MAX, &ret->n) < 0 ||
		take_number(&line, CHANGESET_MAX_BYTES, &ret->size) < 0 ||
		ret->size > size - ret->len)
		return -EBADMSG;
	signed_part[line - copy] = 0;
	digest(text + ret->len, ret->size, signed_part, hash);
	return streq(line, hash) ? 0 : -EBADMSG;
}

int changeset_look(
	const char *text, size_t size, struct changeset_place *ret_place, size_t *ret_len)
{
	struct head head;
	int r = look(text, size, &head);

	if (r < 0)
		return r;
	*ret_place = head.place;
	*ret_len = head.len + head.size;
	return 0;
}

int changeset_decode(char *text, size_t size, struct changeset_item **ret_items, size_t *ret_n)
{
	_cleanup_(freep) struct changeset_item *items = NULL;
	struct head head;
	char *at, *end;
	int r = look(text, size, &head);

	if (r < 0)
		return r;
	at = text + head.len;
	end = at + head.size;
	/* An item has a line at least: the number is not believed before that is so. */
	if (head.n > head.size / strlen("flag domains \n"))
		return -EBADMSG;
	items = calloc(head.n ? head.n : 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	for (uint64_t i = 0; i < head.n; i++)
		if (take_item(&at, end, &items[i]) < 0)
			return -EBADMSG;
	if (at != end)
		return -EBADMSG;
	*ret_items = TAKE_PTR(items);
	*ret_n = head.n;
	return 0;
}
