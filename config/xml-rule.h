/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mapper between XML and plain structs. One row of a const table says for one element or attribute which
 * field it is, of what kind, what its words mean and what becomes of it (its verdict); the same row parses and
 * formats. Rows stand in the canonical order of the output. What no field carries is kept aside
 * (xml-extra.h) and comes out again at its row.
 *
 * Names: "memory" is a child element, "@unit" an attribute, "." the text of the element that the table
 * belongs to. A prefix means one of the namespaces given to the parser ("vmmd:options"); names without one
 * are in no namespace. Several rows may share a name when all but the last have a 'when' or 'match'; the first
 * that fits is taken. A table ends with a row without a name.
 *
 * Fields live in up to two structs: base 0 and base 1 (the machine's side and the host's side of one device).
 * An array row moves both to its item.
 *
 * Errors: parse functions return 0 or a negative errno after the first wrong value; refused elements are
 * counted in the report and parsing goes on, so that the report is complete. One thread at a time per
 * parser; the tables are shared.
 */
#pragma once

#include <libxml/tree.h>

#include "config/contract.h"
#include "config/vm-config.h"
#include "config/xml-buf.h"
#include "config/xml-extra.h"
#include "config/xml-identify.h"
#include "vmm-core/base/macro.h"

#define XML_PATH_MAX  512
#define XML_KEY_MAX   128
#define XML_SHOWN_MAX 64 /* bytes of a name or value that messages repeat */
#define XML_MAX_ROWS  96 /* of one table */

enum xml_kind {
	XML_ELEMENT, /* rows only; printed when one of them prints something */
	XML_FLAG,    /* an element; uint8_t: 1 when it is there */
	XML_ARRAY,   /* an element that repeats: one item each */
	XML_STRING,  /* char[size] */
	XML_UINT,    /* unsigned of 'size' bytes, decimal */
	XML_INT,     /* int64_t, decimal */
	XML_ENUM, /* uint8_t: enum vm_enum 'names', and 'words' for what needs a verdict of its own */
	XML_WORD, /* uint8_t: 'words' only */
	XML_SIZE, /* uint64_t or uint32_t KiB, with a unit from @unit beside or on it */
	XML_UNIT, /* the @unit of an XML_SIZE: printed as KiB */
	XML_CPUSET, /* uint64_t[CPUSET_WORDS]: vmm-core/base/cpuset.h; 'fixed' says of what, if not of host CPUs */
	XML_UUID,   /* uint8_t[16] */
	XML_BIT,    /* 'bit' of a uint32_t: 'words' with 1 for set, 0 for clear; printed when set */
	XML_MAC,    /* uint8_t[NET_MAC_LEN]; all zero: none */
	XML_IP,     /* struct net_ip, of one address; family 0: none */
	XML_CONST,  /* no field: one of 'words', printed as 'fixed' when the element prints */
	XML_KEEP,   /* no field: kept for the round trip */
	XML_DROP,   /* no field: not kept (what the host chooses anew each time) */
	XML_REFUSE, /* the definition fails, saying 'why' */
	XML_CUSTOM  /* 'parse' and 'format' do it all */
};

#define XML_REQUIRED (1U << 0)
#define XML_MANY     (1U << 1) /* may repeat, as arrays always do */
#define XML_FIRST                                                                                  \
	(1U << 2) /* may repeat, but only the first is served: the rest is kept, ignored */
#define XML_ALWAYS         (1U << 3) /* printed even when empty or zero */
#define XML_OPAQUE         (1U << 4) /* an element whose unknown children are nobody's business: honoured */
#define XML_FIXED_IF_EMPTY (1U << 5) /* a zero or empty field prints as 'fixed' */
#define XML_ZERO_IS_MAX                                                                            \
	(1U << 6) /* XML_UINT: 0 is stored as the field's greatest value, as zero means "default" */
#define XML_NOT_ZERO (1U << 7) /* XML_WORD: printed only when its field is not zero */

/* One word of XML_WORD, XML_ENUM, XML_CONST, XML_KEEP or of a number. A '*' at its end stands for any rest. The first
 * HONOURED or ADAPTED word of a value is the one that is printed. */
struct xml_word {
	const char *word;
	uint8_t value;
	enum contract_verdict verdict;
	const char *why;
};

struct xml_array {
	size_t count_offset; /* uint32_t */
	uint8_t count_base;  /* the struct it is in */
	size_t offset[2], stride[2];
	unsigned max;
};

struct xml_rule;

/* Where the parser or the formatter stands. */
struct xml_place {
	void *base[2];
	const char *path;               /* for people: "devices/disk[1]"; "" for the root */
	const char *key;                /* for xml_extra */
	unsigned index;                 /* of the nearest array's item */
	size_t entry;                   /* parser: this element's entry in the report */
	const struct xml_rule *rule;    /* of this element; the root has one too */
	const struct xml_place *parent; /* parser only; NULL for the root */
};

struct xml_namespace {
	const char *prefix, *uri;
};

struct xml_parser {
	const struct xml_namespace *namespaces; /* ends with a NULL prefix */
	const char *source;                     /* names the document in errors */
	bool strict;                            /* unknown is refused */
	bool stored;                            /* no defaults of later versions */
	struct contract_report *report;
	struct xml_extra *extra;
	const struct xml_rule *root;         /* set by xml_rules_parse() */
	const struct xml_identify *identify; /* NULL: nobody knows */
	char *error;                         /* the first error or refusal; the caller frees it */
};

struct xml_formatter {
	const struct xml_namespace *namespaces;
	const struct xml_extra *extra;
	const void *user;
};

typedef int xml_parse_hook(struct xml_parser *p, xmlNode *node, const struct xml_place *place);

struct xml_rule {
	const char *name;
	enum xml_kind kind;
	uint8_t base;
	uint8_t names; /* XML_ENUM: enum vm_enum */
	unsigned flags;
	uint32_t size;
	size_t offset;
	uint8_t set;      /* XML_FLAG: the value of "there"; 0 means 1 */
	uint32_t bit;     /* XML_BIT */
	const char *when; /* "type=pci": only elements with this attribute; "type=": without it */
	bool (*match)(const xmlNode *node); /* only elements for which it says so */
	const char *fixed;
	const struct xml_word *words;
	enum contract_verdict verdict; /* of XML_KEEP, XML_DROP; or to say more about a field */
	const char *why;
	const struct xml_rule *rows; /* attributes and children */
	const struct xml_array *array;
	const char *(*check)(
		const char *text); /* NULL: fine; else "what is wrong; what to write" */
	bool (*print_if)(const struct xml_place *place, const struct xml_formatter *f);
	/* After all rows of an element; 'place' is that of the element. */
	xml_parse_hook *after;
	/* XML_CUSTOM: 'place' is that of the element, its rows unparsed. */
	xml_parse_hook *parse;
	/* XML_CUSTOM: 'place' is that of the parent; append " name='value'" to 'out' for an attribute,
	 * whole lines at 'depth' for an element. */
	void (*format)(struct xml_formatter *f, const struct xml_rule *rule,
		const struct xml_place *place, unsigned depth, struct xml_buf *out);
};

#define XML_FIELD(which, type, member)                                                             \
	.base = (which), .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)

/* Parse 'node', the document's root element, by the rule 'root' into the structs base0 and base1. Returns 0
 * (p->error is set when something was refused), or a negative errno with p->error set but for -ENOMEM. */
int xml_rules_parse(
	struct xml_parser *p, xmlNode *node, const struct xml_rule *root, void *base0, void *base1);

/* Append the whole document of 'root'. */
void xml_rules_format(struct xml_formatter *f, const struct xml_rule *root, void *base0,
	void *base1, struct xml_buf *out);

/* The key of what is kept in the element of 'rule' ('item' of an array) within 'parent'. */
void xml_key(char key[XML_KEY_MAX], const struct xml_place *parent, const struct xml_rule *rule,
	unsigned item);

/* How much of 'text' a message repeats: for "%.*s". Never cuts a character of UTF-8 in two. */
int xml_shown(const char *text);
/* Does 'text' fit 'pattern', whose final '*' stands for any rest? */
bool xml_matches(const char *pattern, const char *text);

/* For hooks. "SOURCE:LINE: PATH/ATTR: text"; 'attr' ("@slot") may be NULL. Returns -EINVAL or -ENOMEM. */
int xml_fail(struct xml_parser *p, unsigned line, const char *path, const char *attr,
	const char *format, ...) _printf_(5, 6);
/* The same, with the line of the report's entry for 'path' or the nearest around it. */
int xml_fail_path(struct xml_parser *p, const char *path, const char *format, ...) _printf_(3, 4);
/* Change the verdict of this element. CONTRACT_REFUSED makes the definition fail. */
int xml_verdict(struct xml_parser *p, const struct xml_place *place, enum contract_verdict verdict,
	const char *why);
/* Change it by its path; nothing happens when there is no entry of exactly this path. */
int xml_verdict_path(
	struct xml_parser *p, const char *path, enum contract_verdict verdict, const char *why);
/* The value of an attribute (no namespace), copied for the caller to free; NULL: none (or no memory). */
char *xml_attribute(const xmlNode *node, const char *name);
/* The UUID of a document that has none: the one that 'name' is known by, or a new one. Returns 0 or -errno. */
int xml_identify(const struct xml_parser *p, const char *name, uint8_t ret_uuid[16]);
/* Keep 'node' (an element) at the row of 'rule' of the place around it. */
int xml_keep(struct xml_parser *p, const struct xml_place *parent, const struct xml_rule *rule,
	xmlNode *node);
/* Something is kept at the row of 'rule' of 'place'. */
bool xml_is_kept(
	const struct xml_formatter *f, const struct xml_place *place, const struct xml_rule *rule);

/* A check of a row: NULL, or what is wrong. Absolute, without ".."; empty is as if it were not there. */
const char *xml_check_path(const char *path);

static inline void *xml_field(const struct xml_place *place, const struct xml_rule *rule)
{
	return (char *)place->base[rule->base] + rule->offset;
}
