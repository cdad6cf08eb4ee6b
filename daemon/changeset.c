/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions that change together, as text: see changeset.h. */
#include "daemon/changeset.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/digest.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

#define MAGIC "vmmd-changes 1 "
/* "save networks UUID LENGTH" and a newline fit, with room; so does the first line. */
#define LINE_MAX_BYTES 128

static const char *const kind_names[CHANGESET_KIND_X_MAX] = {"domains", "networks"};

static void digest(const char *bytes, size_t size, char ret[DIGEST_TEXT_SIZE])
{
	digest_format(digest_of(bytes, size), ret);
}

/* At 'out', of LINE_MAX_BYTES. */
static size_t put_line(char *out, const struct changeset_item *item)
{
	char uuid[UUID_STRING_LEN + 1];
	int n;

	uuid_format(item->uuid, uuid);
	if (item->xml)
		n = snprintf(out, LINE_MAX_BYTES, "save %s %s %zu\n", kind_names[item->kind], uuid,
			strlen(item->xml));
	else
		n = snprintf(out, LINE_MAX_BYTES, "delete %s %s\n", kind_names[item->kind], uuid);
	return (size_t)n;
}

static size_t put_items(char *out, const struct changeset_item *items, size_t n)
{
	char *end = out;

	for (size_t i = 0; i < n; i++) {
		size_t len = items[i].xml ? strlen(items[i].xml) : 0;

		end += put_line(end, &items[i]);
		if (!items[i].xml)
			continue;
		memcpy(end, items[i].xml, len);
		end += len;
		*end++ = '\n';
	}
	return (size_t)(end - out);
}

int changeset_encode(
	const struct changeset_item *items, size_t n, char **ret_text, size_t *ret_size)
{
	size_t max = 2 * LINE_MAX_BYTES, size, head_len;
	char head[LINE_MAX_BYTES], hash[DIGEST_TEXT_SIZE], *text;

	if (n > CHANGESET_MAX)
		return -EFBIG;
	for (size_t i = 0; i < n; i++) {
		size_t len = items[i].xml ? strlen(items[i].xml) : 0;

		if (len > VMMD_MAX_XML_BYTES || max > CHANGESET_MAX_BYTES)
			return -EFBIG;
		max += LINE_MAX_BYTES + len + 1;
	}
	if (max > CHANGESET_MAX_BYTES)
		return -EFBIG;
	text = malloc(max);
	if (!text)
		return -ENOMEM;
	/* The first line is known when the rest is: it moves up to it. */
	size = put_items(text + LINE_MAX_BYTES, items, n);
	digest(text + LINE_MAX_BYTES, size, hash);
	head_len = (size_t)snprintf(head, sizeof(head), MAGIC "%zu %zu %s\n", n, size, hash);
	memcpy(text, head, head_len);
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

static int take_item(char **at, char *end, struct changeset_item *item)
{
	char *line = take_line(at, end);
	const char *verb;
	int r = 0;

	if (!line)
		return -EBADMSG;
	verb = take_word(&line);
	if (take_kind(&line, &item->kind) < 0 || take_uuid(&line, item->uuid) < 0)
		return -EBADMSG;
	if (streq(verb, "save"))
		r = take_xml(at, end, &line, item);
	else if (!streq(verb, "delete"))
		return -EBADMSG;
	return r < 0 || *line ? -EBADMSG : 0;
}

/* The first line, and whether the rest is what it says. */
static int take_head(char **at, char *end, uint64_t *ret_n)
{
	char *line = take_line(at, end), hash[DIGEST_TEXT_SIZE];
	uint64_t size;

	if (!line || strncmp(line, MAGIC, strlen(MAGIC)) != 0)
		return -EBADMSG;
	line += strlen(MAGIC);
	if (take_number(&line, CHANGESET_MAX, ret_n) < 0 ||
		take_number(&line, CHANGESET_MAX_BYTES, &size) < 0 || size != (uint64_t)(end - *at))
		return -EBADMSG;
	digest(*at, size, hash);
	return streq(line, hash) ? 0 : -EBADMSG;
}

int changeset_decode(char *text, size_t size, struct changeset_item **ret_items, size_t *ret_n)
{
	_cleanup_(freep) struct changeset_item *items = NULL;
	char *at = text, *end = text + size;
	uint64_t n;

	if (take_head(&at, end, &n) < 0)
		return -EBADMSG;
	/* An item has a line at least: the number is not believed before that is so. */
	if (n > size / strlen("delete domains \n"))
		return -EBADMSG;
	items = calloc(n ? n : 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	for (uint64_t i = 0; i < n; i++)
		if (take_item(&at, end, &items[i]) < 0)
			return -EBADMSG;
	if (at != end)
		return -EBADMSG;
	*ret_items = TAKE_PTR(items);
	*ret_n = n;
	return 0;
}
