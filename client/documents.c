/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files and directories of definitions: see documents.h. */
#include "client/documents.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/xml-file.h"
#include "vmm-core/base/strutil.h"

#define SUFFIX ".xml"

struct documents {
	struct ctl *ctl;
	struct json_object *texts, *sources;
	size_t size;
};

static bool is_utf8(const char *s)
{
	size_t left = strlen(s);

	while (left) {
		unsigned n = utf8_len(s, left);

		if (n == 0)
			return false;
		s += n;
		left -= n;
	}
	return true;
}

static int add_file(struct documents *d, const char *name)
{
	_cleanup_(freep) char *text = NULL;
	int r = xml_file_read(d->ctl, name, &text);

	if (r < 0)
		return r;
	if (!is_utf8(text) || !is_utf8(name))
		return ctl_error(d->ctl, "Failed to read file '%s': it is not UTF-8", name);
	d->size += strlen(text);
	if (d->size > DOCUMENTS_MAX_BYTES)
		return ctl_error(d->ctl, "the files are larger than %d MiB together",
			DOCUMENTS_MAX_BYTES / 1024 / 1024);
	if (json_object_array_length(d->texts) == DOCUMENTS_MAX)
		return ctl_error(d->ctl, "more than %d files", DOCUMENTS_MAX);
	json_object_array_add(d->texts, json_object_new_string(text));
	json_object_array_add(d->sources, json_object_new_string(xml_file_source(name)));
	return 0;
}

static int is_definition(const struct dirent *e)
{
	size_t len = strlen(e->d_name);

	return e->d_name[0] != '.' && len > strlen(SUFFIX) &&
		streq(e->d_name + len - strlen(SUFFIX), SUFFIX);
}

/* By bytes: the same in every locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_directory(struct documents *d, const char *name)
{
	size_t len = strlen(name);
	struct dirent **entries;
	int n = scandir(name, &entries, is_definition, by_name), r = 0;

	if (n < 0)
		return ctl_error(
			d->ctl, "Failed to open directory '%s': %s", name, strerror(errno));
	if (n == 0)
		r = ctl_error(d->ctl, "there is no *.xml in directory '%s'", name);
	for (int i = 0; i < n; i++) {
		_cleanup_(freep) char *path = NULL;

		if (r == 0 &&
			asprintf(&path, "%s%s%s", name, len && name[len - 1] == '/' ? "" : "/",
				entries[i]->d_name) < 0) {
			path = NULL;
			r = ctl_error(d->ctl, "out of memory");
		}
		if (r == 0)
			r = add_file(d, path);
		free(entries[i]);
	}
	free(entries);
	return r;
}

int documents_read(struct ctl *ctl, const char *const *names, size_t n,
	struct json_object **ret_documents, struct json_object **ret_sources)
{
	_cleanup_(json_putp) struct json_object *texts = json_object_new_array();
	_cleanup_(json_putp) struct json_object *sources = json_object_new_array();
	struct documents d = {.ctl = ctl, .texts = texts, .sources = sources};

	for (size_t i = 0; i < n; i++) {
		struct stat st;
		bool is_dir = stat(names[i], &st) == 0 && S_ISDIR(st.st_mode);
		int r = is_dir ? add_directory(&d, names[i]) : add_file(&d, names[i]);

		if (r < 0)
			return r;
	}
	*ret_documents = TAKE_PTR(texts);
	*ret_sources = TAKE_PTR(sources);
	return 0;
}
