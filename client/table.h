/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables as virsh prints them; scripts cut them by column, so each byte counts: a cell is one blank and
 * its text, padded to the widest cell of its column plus two blanks, the last cell of a row not padded; the
 * header is followed by a rule of as many '-' as all columns are wide; an empty table is header and rule.
 *
 * Widths are display columns (a CJK character has two). Bytes that the terminal could take for a command
 * (control characters, what is not valid in the locale's character set) are printed as \xNN.
 *
 * One thread. A table owns copies of its cells.
 */
#pragma once

#include <stdio.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/macro.h"

#define TABLE_MAX_COLUMNS 16

struct table;

/* 'headers' are n_columns (1 to TABLE_MAX_COLUMNS) strings. NULL without memory. */
struct table *table_new(const char *const *headers, size_t n_columns);
struct table *table_free(struct table *table);
DEFINE_CLEANUP(struct table *, table_free);

/* Append a row of as many cells as the table has columns; NULL is printed as "-". 0 or -ENOMEM. */
int table_add_row(struct table *table, const char *const *cells);

/* Without the header (vmctl -q) its widths do not count either. */
void table_print(const struct table *table, FILE *out, bool with_header);

/* The text as a table would print it, for single lines that hold foreign text. The caller frees it; NULL
 * without memory. '*ret_width' (may be NULL): its display columns. */
char *text_printable(const char *text, size_t *ret_width);
