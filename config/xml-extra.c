/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Elements and attributes kept for the round trip: see xml-extra.h. */
#include "config/xml-extra.h"

#include "vmm-core/base/strutil.h"

struct xml_extra {
	xmlDoc *doc; /* the nodes' document: they hang nowhere in it */
	struct xml_extra_place *places;
	size_t n_places;
};

struct xml_extra *xml_extra_new(void)
{
	struct xml_extra *extra = calloc(1, sizeof(*extra));

	if (!extra)
		return NULL;
	extra->doc = xmlNewDoc(BAD_CAST "1.0");
	if (!extra->doc)
		return xml_extra_free(extra);
	return extra;
}

static void kept_done(struct xml_kept *kept)
{
	if (kept->node)
		xmlFreeNode(kept->node);
	free(kept->name);
	free(kept->value);
}

struct xml_extra *xml_extra_free(struct xml_extra *extra)
{
	if (!extra)
		return NULL;
	for (size_t i = 0; i < extra->n_places; i++) {
		struct xml_extra_place *place = &extra->places[i];

		for (size_t j = 0; j < place->n_items; j++)
			kept_done(&place->items[j]);
		free(place->items);
		free(place->key);
	}
	free(extra->places);
	if (extra->doc)
		xmlFreeDoc(extra->doc);
	free(extra);
	return NULL;
}

/* Room for one more of 'n' things of 'size' bytes: grows by doubling, so at powers of two only. */
static int grow(void *array_ptr, size_t n, size_t size)
{
	void **array = array_ptr;
	void *bigger;

	if (n & (n - 1))
		return 0;
	bigger = reallocarray(*array, n ? 2 * n : 1, size);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	return 0;
}

static struct xml_extra_place *find_place(const struct xml_extra *extra, const char *key)
{
	for (size_t i = 0; i < extra->n_places; i++)
		if (streq(extra->places[i].key, key))
			return &extra->places[i];
	return NULL;
}

static struct xml_extra_place *get_place(struct xml_extra *extra, const char *key)
{
	struct xml_extra_place *place = find_place(extra, key);
	char *copy;

	if (place)
		return place;
	if (grow(&extra->places, extra->n_places, sizeof(*extra->places)) < 0)
		return NULL;
	copy = strdup(key);
	if (!copy)
		return NULL;
	place = &extra->places[extra->n_places++];
	*place = (struct xml_extra_place){.key = copy};
	return place;
}

/* Takes over what 'kept' owns, also when it fails. */
static int add_kept(struct xml_extra *extra, const char *key, struct xml_kept kept)
{
	struct xml_extra_place *place = get_place(extra, key);

	if (!place || grow(&place->items, place->n_items, sizeof(*place->items)) < 0) {
		kept_done(&kept);
		return -ENOMEM;
	}
	place->items[place->n_items++] = kept;
	return 0;
}

int xml_extra_keep_node(struct xml_extra *extra, const char *key, int row, const xmlNode *node)
{
	/* libxml2's copy functions do not change what they copy, but do not say so. */
	xmlNode *copy = xmlDocCopyNode((xmlNode *)(uintptr_t)node, extra->doc, 1);

	if (!copy)
		return -ENOMEM;
	return add_kept(extra, key, (struct xml_kept){.row = row, .node = copy});
}

int xml_extra_keep_attr(
	struct xml_extra *extra, const char *key, int row, const char *name, const char *value)
{
	struct xml_kept kept = {.row = row, .name = strdup(name), .value = strdup(value)};

	if (!kept.name || !kept.value) {
		kept_done(&kept);
		return -ENOMEM;
	}
	return add_kept(extra, key, kept);
}

const struct xml_extra_place *xml_extra_find(const struct xml_extra *extra, const char *key)
{
	return extra ? find_place(extra, key) : NULL;
}

static int copy_place(struct xml_extra *to, const struct xml_extra_place *place)
{
	for (size_t i = 0; i < place->n_items; i++) {
		const struct xml_kept *kept = &place->items[i];
		int r;

		if (kept->node)
			r = xml_extra_keep_node(to, place->key, kept->row, kept->node);
		else
			r = xml_extra_keep_attr(to, place->key, kept->row, kept->name, kept->value);
		if (r < 0)
			return r;
	}
	return 0;
}

int xml_extra_copy(const struct xml_extra *extra, struct xml_extra **ret_copy)
{
	_cleanup_(xml_extra_freep) struct xml_extra *copy = NULL;

	if (!extra) {
		*ret_copy = NULL;
		return 0;
	}
	copy = xml_extra_new();
	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < extra->n_places; i++) {
		int r = copy_place(copy, &extra->places[i]);

		if (r < 0)
			return r;
	}
	*ret_copy = TAKE_PTR(copy);
	return 0;
}
