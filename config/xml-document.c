/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The frame around a parser of documents: see xml-document.h. */
#include "config/xml-document.h"

#include <errno.h>

#include "config/domain-xml.h"
#include "config/xml-read.h"
#include "vmm-core/base/strutil.h"

int xml_document_parse(const char *xml, size_t len, const struct xml_document *document,
	void *config, struct contract_report **ret_report, char **ret_error)
{
	_cleanup_(contract_report_freep) struct contract_report *report = contract_report_new();
	_cleanup_(xml_doc_freep) xmlDoc *doc = NULL;
	struct xml_parser p = {.namespaces = document->namespaces,
		.source = document->source ? document->source : "XML",
		.strict = document->flags & XML_STRICT,
		.stored = document->flags & XML_STORED,
		.identify = document->identify,
		.extra = document->extra,
		.report = report};
	int r;

	*ret_error = NULL;
	if (!report || !p.extra)
		return -ENOMEM;
	r = xml_read(xml, len, p.source, &doc, ret_error);
	if (r < 0)
		return r;
	r = document->parse(&p, doc, config);
	if (r < 0)
		*ret_error = TAKE_PTR(p.error);
	free(p.error);
	if (ret_report && (r == 0 || r == -EOPNOTSUPP))
		*ret_report = TAKE_PTR(report);
	return r;
}
