/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The output contract of tables: see table.h. */
#include "client/table.h"

#include <string.h>
#include <wchar.h>
#include <wctype.h>

struct cell {
	char *text; /* printable */
	size_t width;
};

struct table {
	size_t n_columns;
	size_t n_rows; /* the header is row 0 */
	size_t n_allocated;
	struct cell *cells; /* row by row */
};

char *text_printable(const char *text, size_t *ret_width)
{
	size_t left = strlen(text), width = 0;
	char *out = malloc(left * 4 + 1), *p = out;
	mbstate_t state = {};

	if (!out)
		return NULL;
	while (left > 0) {
		wchar_t wc = 0;
		size_t n = mbrtowc(&wc, text, left, &state);
		int columns = n == 0 || n > left ? -1 : wcwidth(wc);

		if (columns < 0 || !iswprint((wint_t)wc)) {
			state = (mbstate_t){};
			p += sprintf(p, "\\x%02x", (unsigned char)*text);
			n = 1;
			columns = 4;
		} else {
			memcpy(p, text, n);
			p += n;
		}
		text += n;
		left -= n;
		width += (size_t)columns;
	}
	*p = 0;
	if (ret_width)
		*ret_width = width;
	return out;
}

struct table *table_new(const char *const *headers, size_t n_columns)
{
	_cleanup_(table_freep) struct table *table = calloc(1, sizeof(*table));

	assert(n_columns > 0 && n_columns <= TABLE_MAX_COLUMNS);
	if (!table)
		return NULL;
	table->n_columns = n_columns;
	if (table_add_row(table, headers) < 0)
		return NULL;
	return TAKE_PTR(table);
}

struct table *table_free(struct table *table)
{
	if (!table)
		return NULL;
	for (size_t i = 0; i < table->n_rows * table->n_columns; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table);
	return NULL;
}

int table_add_row(struct table *table, const char *const *cells)
{
	struct cell *row;

	if (table->n_rows == table->n_allocated) {
		size_t n = table->n_allocated ? table->n_allocated * 2 : 16;
		struct cell *p =
			reallocarray(table->cells, n * table->n_columns, sizeof(*table->cells));

		if (!p)
			return -ENOMEM;
		table->cells = p;
		table->n_allocated = n;
	}
	row = table->cells + table->n_rows * table->n_columns;
	for (size_t i = 0; i < table->n_columns; i++) {
		row[i].text = text_printable(cells[i] ?: "-", &row[i].width);
		if (!row[i].text) {
			while (i > 0)
				free(row[--i].text);
			return -ENOMEM;
		}
	}
	table->n_rows++;
	return 0;
}

static void print_blanks(FILE *out, size_t n, char c)
{
	while (n-- > 0)
		(void)fputc(c, out);
}

static void print_row(
	const struct table *table, const struct cell *row, const size_t *widths, FILE *out)
{
	for (size_t i = 0; i < table->n_columns; i++) {
		(void)fprintf(out, " %s", row[i].text);
		if (i + 1 < table->n_columns)
			print_blanks(out, widths[i] - row[i].width + 2, ' ');
	}
	(void)fputc('\n', out);
}

void table_print(const struct table *table, FILE *out, bool with_header)
{
	size_t widths[TABLE_MAX_COLUMNS] = {};
	size_t first = with_header ? 0 : 1;
	size_t rule = 0;

	for (size_t row = first; row < table->n_rows; row++)
		for (size_t i = 0; i < table->n_columns; i++)
			widths[i] = MAX(widths[i], table->cells[row * table->n_columns + i].width);
	for (size_t i = 0; i < table->n_columns; i++)
		rule += widths[i] + 3;

	for (size_t row = first; row < table->n_rows; row++) {
		print_row(table, table->cells + row * table->n_columns, widths, out);
		if (row == 0) {
			print_blanks(out, rule, '-');
			(void)fputc('\n', out);
		}
	}
}
