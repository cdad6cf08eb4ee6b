/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ACPI tables: see acpi.h. Layouts are those of ACPI 6.5, chapter 5.2. */
#include "vmm-core/acpi/acpi.h"

#include <errno.h>
#include <string.h>

#include "vmm-core/acpi/acpi-hw.h"
#include "vmm-core/acpi/acpi-internal.h"
#include "vmm-core/cpu-topology.h"
#include "vmm-core/layout.h"

#define HEADER_SIZE   36
#define CHECKSUM_AT   9
#define LENGTH_AT     4
#define RSDP_SIZE     36
#define FADT_SIZE     276
#define FACS_SIZE     64
#define FACS_ALIGN    64
#define MAX_XSDT_ROWS 8

#define FADT_WBINVD  (1U << 0)
#define FADT_PROC_C1 (1U << 2)
#define FADT_SLP_BUTTON                                                                            \
	(1U << 5) /* no fixed sleep button; the power button (bit 4) is fixed hardware */
#define FADT_FIX_RTC        (1U << 6)
#define FADT_TMR_VAL_EXT    (1U << 8)
#define FADT_RESET_REG      (1U << 10)
#define FADT_HEADLESS       (1U << 12)
#define FADT_APIC_PHYSICAL  (1U << 19)
#define FADT_NO_LATENCY     0xfff /* states C2 and C3 are not there */
#define IAPC_LEGACY_DEVICES (1U << 0)
#define IAPC_NO_VGA         (1U << 2)
#define IAPC_NO_ASPM        (1U << 4)
#define LOGICAL_FLAT_MAX    8 /* processors that a logical destination in flat mode can name */

#define MADT_PCAT_COMPAT    1
#define MADT_ENABLED        1
#define MADT_ONLINE_CAPABLE 2
#define MADT_ISO_LEVEL_HIGH 0x000d
#define XAPIC_MAX_ID        254

#define WAET_PM_TIMER_GOOD 2 /* one read is enough */

struct tables {
	struct aml w;
	const struct vm_config *config;
	struct cpu_topology topology;
	uint32_t base; /* guest address of w.data */
	unsigned n_rows;
	uint64_t rows[MAX_XSDT_ROWS];
};

static uint8_t checksum(const uint8_t *data, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + data[i]);
	return (uint8_t)-sum;
}

static void zeroes(struct aml *w, size_t n)
{
	static const uint8_t none[64];

	for (; n > sizeof(none); n -= sizeof(none))
		aml_bytes(w, none, sizeof(none));
	aml_bytes(w, none, n);
}

static void align(struct aml *w, size_t to)
{
	zeroes(w, ALIGN_UP(w->len, to) - w->len);
}

/* Open a table; the length and checksum come with table_end(). */
static size_t table_begin(struct tables *t, const char signature[static 4], unsigned revision)
{
	size_t start;

	align(&t->w, 16);
	start = t->w.len;
	aml_bytes(&t->w, signature, 4);
	aml_u32(&t->w, 0);
	aml_u8(&t->w, revision);
	aml_u8(&t->w, 0);
	aml_bytes(&t->w, "VMMD  ", 6);
	aml_bytes(&t->w, "VMMDACPI", 8);
	aml_u32(&t->w, 1);
	aml_bytes(&t->w, "VMMD", 4);
	aml_u32(&t->w, 1);
	return start;
}

/* Returns the table's guest address. */
static uint32_t table_end(struct tables *t, size_t start)
{
	uint32_t len = (uint32_t)(t->w.len - start);

	if (t->w.overflow)
		return 0;
	memcpy(t->w.data + start + LENGTH_AT, &len, sizeof(len));
	t->w.data[start + CHECKSUM_AT] = checksum(t->w.data + start, len);
	return t->base + (uint32_t)start;
}

static void list_table(struct tables *t, uint64_t address)
{
	assert(t->n_rows < MAX_XSDT_ROWS);
	t->rows[t->n_rows++] = address;
}

/* A generic address of 'len' bytes in I/O space; access size 0: by the register's definition. */
static void gas(struct aml *w, uint64_t port, unsigned len, unsigned access)
{
	aml_u8(w, port ? 1 : 0);
	aml_u8(w, len * 8);
	aml_u8(w, 0);
	aml_u8(w, access);
	aml_u64(w, port);
}

static uint32_t make_facs(struct tables *t)
{
	size_t start;

	align(&t->w, FACS_ALIGN);
	start = t->w.len;
	aml_bytes(&t->w, "FACS", 4);
	aml_u32(&t->w, FACS_SIZE);
	zeroes(&t->w, 24);
	aml_u8(&t->w, 2); /* version */
	zeroes(&t->w, FACS_SIZE - 33);
	return t->base + (uint32_t)start;
}

static uint32_t make_dsdt(struct tables *t, uint64_t pci64_base)
{
	size_t start = table_begin(t, "DSDT", 2);

	acpi_dsdt_body(&t->w, t->config, pci64_base);
	return table_end(t, start);
}

static void fadt_blocks(struct aml *w)
{
	aml_u32(w, ACPI_PM1A_EVT);
	aml_u32(w, 0); /* PM1b */
	aml_u32(w, ACPI_PM1A_CNT);
	aml_u32(w, 0);
	aml_u32(w, 0); /* PM2 */
	aml_u32(w, ACPI_PM_TMR);
	aml_u32(w, ACPI_GPE0);
	aml_u32(w, 0); /* GPE1 */
	aml_u8(w, ACPI_PM1_EVT_LEN);
	aml_u8(w, ACPI_PM1_CNT_LEN);
	aml_u8(w, 0); /* PM2 */
	aml_u8(w, ACPI_PM_TMR_LEN);
	aml_u8(w, ACPI_GPE0_LEN);
	zeroes(w, 3); /* GPE1's length and base, C-state control */
	aml_u16(w, FADT_NO_LATENCY);
	aml_u16(w, FADT_NO_LATENCY);
	zeroes(w, 8); /* cache flushing, duty cycle, day and month alarm */
	aml_u8(w, ACPI_RTC_CENTURY);
}

static void fadt_extended_blocks(struct aml *w)
{
	gas(w, ACPI_PM1A_EVT, ACPI_PM1_EVT_LEN, 2);
	gas(w, 0, 0, 0);
	gas(w, ACPI_PM1A_CNT, ACPI_PM1_CNT_LEN, 2);
	gas(w, 0, 0, 0);
	gas(w, 0, 0, 0);
	gas(w, ACPI_PM_TMR, ACPI_PM_TMR_LEN, 3);
	gas(w, ACPI_GPE0, ACPI_GPE0_LEN, 1);
	gas(w, 0, 0, 0);
	gas(w, 0, 0, 0); /* sleep control and status: reduced hardware only */
	gas(w, 0, 0, 0);
}

static uint32_t make_fadt(struct tables *t, uint32_t facs, uint32_t dsdt)
{
	uint32_t flags = FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_FIX_RTC |
		FADT_TMR_VAL_EXT | FADT_RESET_REG | FADT_HEADLESS;
	size_t start = table_begin(t, "FACP", 6);
	struct aml *w = &t->w;

	if (t->config->vcpus_max > LOGICAL_FLAT_MAX)
		flags |= FADT_APIC_PHYSICAL;
	aml_u32(w, facs);
	aml_u32(w, dsdt);
	aml_u8(w, 0); /* reserved */
	aml_u8(w, 0); /* preferred power profile: none */
	aml_u16(w, ACPI_SCI_GSI);
	aml_u32(w, 0); /* SMI command port: none */
	zeroes(w, 4);  /* ACPI enable, disable, S4BIOS, P-state control */
	fadt_blocks(w);
	aml_u16(w, IAPC_LEGACY_DEVICES | IAPC_NO_VGA | IAPC_NO_ASPM);
	aml_u8(w, 0);
	aml_u32(w, flags);
	gas(w, ACPI_RESET_PORT, 1, 1);
	aml_u8(w, ACPI_RESET_VALUE);
	aml_u16(w, 0); /* ARM */
	aml_u8(w, 5);  /* minor version: 6.5 */
	aml_u64(w, 0); /* X_FIRMWARE_CTRL: the 32-bit one is used */
	aml_u64(w, dsdt);
	fadt_extended_blocks(w);
	aml_bytes(w, "VMMD\0\0\0\0", 8); /* hypervisor vendor */
	assert(w->overflow || w->len - start == FADT_SIZE);
	return table_end(t, start);
}

void acpi_madt_processor(struct aml *w, uint32_t apic_id, unsigned uid, bool enabled)
{
	uint32_t flags = enabled ? MADT_ENABLED : MADT_ONLINE_CAPABLE;

	if (apic_id <= XAPIC_MAX_ID) {
		aml_u8(w, 0); /* local APIC */
		aml_u8(w, 8);
		aml_u8(w, uid);
		aml_u8(w, apic_id);
		aml_u32(w, flags);
	} else {
		aml_u8(w, 9); /* local x2APIC */
		aml_u8(w, 16);
		aml_u16(w, 0);
		aml_u32(w, apic_id);
		aml_u32(w, flags);
		aml_u32(w, uid);
	}
}

static void madt_override(struct aml *w, unsigned irq, unsigned gsi, unsigned flags)
{
	aml_u8(w, 2);
	aml_u8(w, 10);
	aml_u8(w, 0); /* ISA */
	aml_u8(w, irq);
	aml_u32(w, gsi);
	aml_u16(w, flags);
}

static void madt_nmi(struct aml *w, bool x2apic)
{
	/* LINT1 of every processor. */
	if (x2apic) {
		aml_u8(w, 0x0a);
		aml_u8(w, 12);
		aml_u16(w, 0);
		aml_u32(w, UINT32_MAX);
		aml_u8(w, 1);
		zeroes(w, 3);
	} else {
		aml_u8(w, 4);
		aml_u8(w, 6);
		aml_u8(w, 0xff);
		aml_u16(w, 0);
		aml_u8(w, 1);
	}
}

static uint32_t make_madt(struct tables *t)
{
	size_t start = table_begin(t, "APIC", 5);
	struct aml *w = &t->w;
	bool x2apic = false;

	aml_u32(w, (uint32_t)LAYOUT_LAPIC_BASE);
	aml_u32(w, MADT_PCAT_COMPAT);
	for (unsigned i = 0; i < t->config->vcpus_max; i++) {
		uint32_t id = cpu_apic_id(&t->topology, i);

		acpi_madt_processor(w, id, i, i < t->config->vcpus);
		x2apic |= id > XAPIC_MAX_ID;
	}
	aml_u8(w, 1); /* IOAPIC, id 0, interrupts from 0 on */
	aml_u8(w, 12);
	aml_u16(w, 0);
	aml_u32(w, (uint32_t)LAYOUT_IOAPIC_BASE);
	aml_u32(w, 0);
	madt_override(w, LAYOUT_GSI_PIT, 2, 0);
	madt_override(w, ACPI_SCI_GSI, ACPI_SCI_GSI, MADT_ISO_LEVEL_HIGH);
	madt_nmi(w, false);
	if (x2apic)
		madt_nmi(w, true);
	return table_end(t, start);
}

static uint32_t make_mcfg(struct tables *t)
{
	size_t start = table_begin(t, "MCFG", 1);

	zeroes(&t->w, 8);
	aml_u64(&t->w, LAYOUT_ECAM_BASE);
	aml_u16(&t->w, 0); /* segment */
	aml_u8(&t->w, 0);
	aml_u8(&t->w, 0xff);
	zeroes(&t->w, 4);
	return table_end(t, start);
}

static uint32_t make_waet(struct tables *t)
{
	size_t start = table_begin(t, "WAET", 1);

	aml_u32(&t->w, WAET_PM_TIMER_GOOD);
	return table_end(t, start);
}

static uint32_t make_srat(struct tables *t)
{
	size_t start = table_begin(t, "SRAT", 3);

	acpi_srat_body(&t->w, t->config);
	return table_end(t, start);
}

static uint32_t make_slit(struct tables *t)
{
	size_t start = table_begin(t, "SLIT", 1);

	acpi_slit_body(&t->w, t->config);
	return table_end(t, start);
}

static uint32_t make_xsdt(struct tables *t)
{
	size_t start = table_begin(t, "XSDT", 1);

	for (unsigned i = 0; i < t->n_rows; i++)
		aml_u64(&t->w, t->rows[i]);
	return table_end(t, start);
}

/* At the start of the buffer, where room was left for it. */
static void make_rsdp(uint8_t *rsdp, uint64_t xsdt)
{
	uint32_t len = RSDP_SIZE;

	memset(rsdp, 0, RSDP_SIZE);
	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, "VMMD  ", 6);
	rsdp[15] = 2; /* revision */
	memcpy(rsdp + 20, &len, sizeof(len));
	memcpy(rsdp + 24, &xsdt, sizeof(xsdt));
	rsdp[8] = checksum(rsdp, 20); /* of ACPI 1.0's part */
	rsdp[32] = checksum(rsdp, RSDP_SIZE);
}

int acpi_make(const struct vm_config *config, uint64_t pci64_base, uint32_t base, uint8_t *buf,
	size_t size, size_t *ret_len)
{
	struct tables t = {
		.w = {.data = buf, .size = size},
		.config = config,
		.topology = cpu_topology_of(config),
		.base = base,
	};
	uint32_t facs, dsdt, xsdt;

	zeroes(&t.w, RSDP_SIZE);
	facs = make_facs(&t);
	dsdt = make_dsdt(&t, pci64_base);
	list_table(&t, make_fadt(&t, facs, dsdt));
	list_table(&t, make_madt(&t));
	list_table(&t, make_mcfg(&t));
	list_table(&t, make_waet(&t));
	if (config->n_cells) {
		list_table(&t, make_srat(&t));
		list_table(&t, make_slit(&t));
	}
	xsdt = make_xsdt(&t);
	if (t.w.overflow)
		return -ENOSPC;
	make_rsdp(buf, xsdt);
	*ret_len = t.w.len;
	return 0;
}

int acpi_build(struct guest_mem *mem, const struct vm_config *config, uint64_t pci64_base,
	struct gpa *ret_rsdp)
{
	uint8_t *buf;
	size_t len;
	int r;

	if (!config->acpi) {
		*ret_rsdp = GPA(0);
		return 0;
	}
	buf = guest_mem_ptr(mem, GPA(LAYOUT_ACPI_BASE), LAYOUT_ACPI_SIZE);
	if (!buf)
		return -EFAULT;
	r = acpi_make(config, pci64_base, (uint32_t)LAYOUT_ACPI_BASE, buf, LAYOUT_ACPI_SIZE, &len);
	if (r < 0)
		return r;
	*ret_rsdp = GPA(LAYOUT_ACPI_BASE);
	return 0;
}
