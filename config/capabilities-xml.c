/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The <capabilities> document: see capabilities-xml.h. */
#include "config/capabilities-xml.h"

#include <errno.h>

#include "config/xml-buf.h"
#include "vmm-core/base/strutil.h"

static void add_text(struct xml_buf *out, unsigned depth, const char *name, const char *text)
{
	if (!text || !*text)
		return;
	xml_buf_indent(out, depth);
	xml_buf_addf(out, "<%s>", name);
	xml_buf_escape(out, text, false);
	xml_buf_addf(out, "</%s>\n", name);
}

static void add_cpu(struct xml_buf *out, const struct capabilities *caps)
{
	xml_buf_add(out, "    <cpu>\n      <arch>x86_64</arch>\n");
	add_text(out, 3, "model", caps->cpu_model);
	add_text(out, 3, "vendor", caps->cpu_vendor);
	if (caps->microcode)
		xml_buf_addf(out, "      <microcode version='%llu'/>\n",
			(unsigned long long)caps->microcode);
	if (caps->family || caps->model || caps->stepping)
		xml_buf_addf(out, "      <signature family='%u' model='%u' stepping='%u'/>\n",
			caps->family, caps->model, caps->stepping);
	if (caps->tsc_hz)
		xml_buf_addf(out, "      <counter name='tsc' frequency='%llu' scaling='no'/>\n",
			(unsigned long long)caps->tsc_hz);
	if (caps->sockets && caps->dies && caps->cores && caps->threads)
		xml_buf_addf(out,
			"      <topology sockets='%u' dies='%u' cores='%u' threads='%u'/>\n",
			caps->sockets, caps->dies, caps->cores, caps->threads);
	if (caps->maxphysaddr_bits)
		xml_buf_addf(out, "      <maxphysaddr mode='emulate' bits='%u'/>\n",
			caps->maxphysaddr_bits);
	for (unsigned i = 0; i < caps->n_features; i++) {
		xml_buf_add(out, "      <feature");
		xml_buf_attr(out, "name", caps->features[i]);
		xml_buf_add(out, "/>\n");
	}
	for (unsigned i = 0; i < caps->n_page_sizes; i++)
		xml_buf_addf(out, "      <pages unit='KiB' size='%u'/>\n", caps->page_kib[i]);
	xml_buf_add(out, "    </cpu>\n");
}

static void add_cell_pages(
	struct xml_buf *out, const struct capabilities *caps, const struct capabilities_cell *cell)
{
	for (unsigned i = 0; caps->n_cells && cell->memory_kib && i < caps->n_page_sizes; i++)
		xml_buf_addf(out, "          <pages unit='KiB' size='%u'>%llu</pages>\n",
			caps->page_kib[i], (unsigned long long)cell->pages[i]);
}

static void add_cell_distances(
	struct xml_buf *out, const struct capabilities *caps, const struct capabilities_cell *cell)
{
	if (!caps->n_cells || !cell->distances[0])
		return;
	xml_buf_add(out, "          <distances>\n");
	for (unsigned i = 0; i < caps->n_cells && i < CAPABILITIES_MAX_CELLS; i++)
		xml_buf_addf(out, "            <sibling id='%u' value='%u'/>\n", caps->cells[i].id,
			cell->distances[i]);
	xml_buf_add(out, "          </distances>\n");
}

static void add_cell(
	struct xml_buf *out, const struct capabilities *caps, const struct capabilities_cell *cell)
{
	unsigned n = 0;

	for (unsigned i = 0; i < caps->n_cpus; i++)
		n += !caps->n_cells || caps->cpus[i].cell == cell->id;
	xml_buf_addf(out, "        <cell id='%u'>\n", cell->id);
	if (cell->memory_kib)
		xml_buf_addf(out, "          <memory unit='KiB'>%llu</memory>\n",
			(unsigned long long)cell->memory_kib);
	add_cell_pages(out, caps, cell);
	add_cell_distances(out, caps, cell);
	xml_buf_addf(out, "          <cpus num='%u'>\n", n);
	for (unsigned i = 0; i < caps->n_cpus; i++) {
		const struct capabilities_cpu *cpu = &caps->cpus[i];

		if (caps->n_cells && cpu->cell != cell->id)
			continue;
		xml_buf_addf(out,
			"            <cpu id='%u' socket_id='%u' die_id='%u' core_id='%u'", cpu->id,
			cpu->socket, cpu->die, cpu->core);
		xml_buf_attr(out, "siblings", cpu->siblings);
		xml_buf_add(out, "/>\n");
	}
	xml_buf_add(out, "          </cpus>\n        </cell>\n");
}

static void add_topology(struct xml_buf *out, const struct capabilities *caps)
{
	const struct capabilities_cell all = {.memory_kib = caps->memory_kib};

	if (!caps->n_cpus)
		return;
	xml_buf_addf(
		out, "    <topology>\n      <cells num='%u'>\n", caps->n_cells ? caps->n_cells : 1);
	if (!caps->n_cells)
		add_cell(out, caps, &all);
	for (unsigned i = 0; i < caps->n_cells; i++)
		add_cell(out, caps, &caps->cells[i]);
	xml_buf_add(out, "      </cells>\n    </topology>\n");
}

static void add_host(struct xml_buf *out, const struct capabilities *caps)
{
	char uuid[UUID_STRING_LEN + 1];

	xml_buf_add(out, "  <host>\n");
	if (!uuid_is_null(caps->host_uuid)) {
		uuid_format(caps->host_uuid, uuid);
		add_text(out, 2, "uuid", uuid);
	}
	add_cpu(out, caps);
	add_topology(out, caps);
	xml_buf_add(out, "  </host>\n\n");
}

static void add_guest(struct xml_buf *out, const struct capabilities *caps)
{
	xml_buf_add(out,
		"  <guest>\n    <os_type>hvm</os_type>\n    <arch name='x86_64'>\n"
		"      <wordsize>64</wordsize>\n");
	add_text(out, 3, "emulator", caps->emulator);
	xml_buf_addf(out, "      <machine maxCpus='%u'>q35</machine>\n", caps->max_vcpus);
	xml_buf_add(out,
		"      <domain type='kvm'/>\n    </arch>\n    <features>\n"
		"      <acpi default='on' toggle='yes'/>\n"
		"      <apic default='on' toggle='no'/>\n"
		"      <cpuselection/>\n    </features>\n  </guest>\n\n");
}

int capabilities_xml_format(const struct capabilities *caps, char **ret_xml)
{
	struct xml_buf out = {0};
	char *xml;

	xml_buf_add(&out, "<capabilities>\n\n");
	add_host(&out, caps);
	if (caps->has_kvm)
		add_guest(&out, caps);
	xml_buf_add(&out, "</capabilities>\n");
	xml = xml_buf_take(&out);
	if (!xml)
		return -ENOMEM;
	*ret_xml = xml;
	return 0;
}
