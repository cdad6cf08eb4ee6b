/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vCPU threads, the gate, and exit dispatch: see vcpu.h. Register set-up is in vcpu-regs.c. */
#include "vmm-core/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "vmm-core/base/log.h"
#include "vmm-core/device.h"

int vcpu_gate_init(struct vcpu_gate *gate, unsigned n_vcpus)
{
	*gate = (struct vcpu_gate){.n_vcpus = n_vcpus};
	(void)pthread_mutex_init(&gate->lock, NULL);
	(void)pthread_cond_init(&gate->changed, NULL);
	gate->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return gate->event_fd < 0 ? -errno : 0;
}

void vcpu_gate_done(struct vcpu_gate *gate)
{
	gate->event_fd = safe_close(gate->event_fd);
	(void)pthread_cond_destroy(&gate->changed);
	(void)pthread_mutex_destroy(&gate->lock);
}

int vcpu_init(struct vcpu *vcpu, struct kvm *kvm, const struct vcpu_host *host, unsigned index,
	uint32_t apic_id, const char **ret_stage)
{
	int r;

	*vcpu = (struct vcpu){
		.host = host,
		.index = index,
		.apic_id = apic_id,
		.fd = -EBADF,
		.stats_fd = -EBADF,
		.run_size = kvm->run_size,
	};
	*ret_stage = "KVM_CREATE_VCPU";
	r = kvm_vcpu_create(kvm, apic_id, &vcpu->fd, &vcpu->run);
	if (r < 0)
		return r;
	vcpu->stats_fd = kvm_vcpu_stats_fd(vcpu->fd);
	vcpu->tsc_khz = kvm_tsc_khz(kvm, vcpu->fd);
	return 0;
}

void vcpu_done(struct vcpu *vcpu)
{
	if (vcpu->run)
		(void)munmap(vcpu->run, vcpu->run_size);
	vcpu->run = NULL;
	vcpu->stats_fd = safe_close(vcpu->stats_fd);
	vcpu->fd = safe_close(vcpu->fd);
}

void vcpu_kick(struct vcpu *vcpu)
{
	/* Pairs with the exchange in attend(): immediate_exit is set last, cleared first. */
	atomic_store(&vcpu->attention, true);
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (vcpu->thread_started)
		(void)pthread_kill(vcpu->thread, VCPU_KICK_SIGNAL);
}

void vcpu_inject_nmi(struct vcpu *vcpu)
{
	atomic_store(&vcpu->nmi, true);
	vcpu_kick(vcpu);
}

static void signal_parked(struct vcpu_gate *gate)
{
	uint64_t one = 1;

	(void)!write(gate->event_fd, &one, sizeof(one));
}

void vcpus_park(struct vcpu *vcpus, unsigned n, struct vcpu_gate *gate)
{
	(void)pthread_mutex_lock(&gate->lock);
	gate->open = false;
	for (unsigned i = 0; i < n; i++)
		vcpu_kick(&vcpus[i]);
	if (gate->n_parked == gate->n_vcpus)
		signal_parked(gate);
	(void)pthread_mutex_unlock(&gate->lock);
}

bool vcpus_all_parked(struct vcpu_gate *gate)
{
	bool all;

	(void)pthread_mutex_lock(&gate->lock);
	all = !gate->open && gate->n_parked == gate->n_vcpus;
	(void)pthread_mutex_unlock(&gate->lock);
	return all;
}

static void set_reset(struct vcpu *vcpus, unsigned n, const struct boot_entry *reset_to)
{
	for (unsigned i = 0; i < n; i++) {
		vcpus[i].reset_pending = true;
		vcpus[i].reset_alone = false;
		vcpus[i].entry = *reset_to;
	}
}

void vcpus_unpark(
	struct vcpu *vcpus, unsigned n, struct vcpu_gate *gate, const struct boot_entry *reset_to)
{
	(void)pthread_mutex_lock(&gate->lock);
	if (reset_to)
		set_reset(vcpus, n, reset_to);
	gate->open = true;
	(void)pthread_cond_broadcast(&gate->changed);
	(void)pthread_mutex_unlock(&gate->lock);
}

void vcpus_reset_later(
	struct vcpu *vcpus, unsigned n, struct vcpu_gate *gate, const struct boot_entry *reset_to)
{
	(void)pthread_mutex_lock(&gate->lock);
	set_reset(vcpus, n, reset_to);
	(void)pthread_mutex_unlock(&gate->lock);
}

void vcpu_switch(struct vcpu *vcpu, bool on)
{
	struct vcpu_gate *gate = vcpu->host->gate;

	(void)pthread_mutex_lock(&gate->lock);
	if (on) {
		vcpu->off = false;
		(void)pthread_cond_broadcast(&gate->changed);
	} else if (!vcpu->off) {
		vcpu->off = true;
		vcpu->reset_alone = !vcpu->reset_pending;
		vcpu->reset_pending = true;
		vcpu_kick(vcpu);
	}
	(void)pthread_mutex_unlock(&gate->lock);
}

void vcpus_quit(struct vcpu *vcpus, unsigned n, struct vcpu_gate *gate)
{
	(void)pthread_mutex_lock(&gate->lock);
	gate->quit = true;
	gate->open = false;
	for (unsigned i = 0; i < n; i++)
		if (vcpus[i].run)
			vcpu_kick(&vcpus[i]);
	(void)pthread_cond_broadcast(&gate->changed);
	(void)pthread_mutex_unlock(&gate->lock);
	for (unsigned i = 0; i < n; i++) {
		if (vcpus[i].thread_started)
			(void)pthread_join(vcpus[i].thread, NULL);
		vcpus[i].thread_started = false;
	}
}

/* Report that this vCPU cannot go on. It parks, even at an open gate, until a reset mends it. */
/* strerror() is not for threads. KVM may answer numbers that the C library has no words for. */
static const char *words(int error)
{
	return strerrordesc_np(-error) ?: "unknown error";
}

static void fail(struct vcpu *vcpu, const char *format, ...) _printf_(2, 3);
static void fail(struct vcpu *vcpu, const char *format, ...)
{
	const struct vcpu_host *host = vcpu->host;
	struct vcpu_failure failure;
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(failure.text, sizeof(failure.text), format, ap);
	va_end(ap);
	vcpu->broken = true;
	atomic_store(&vcpu->attention, true);
	host->failed(host->opaque, &failure);
}

static void request(struct vcpu *vcpu, enum machine_request what)
{
	const struct vcpu_host *host = vcpu->host;

	host->request(host->opaque, what, 0);
}

/* Gate lock held. */
static bool must_park(const struct vcpu *vcpu)
{
	const struct vcpu_gate *gate = vcpu->host->gate;

	if (gate->quit)
		return false;
	return !gate->open || ((vcpu->broken || vcpu->off) && !vcpu->reset_pending);
}

/* What a vCPU finds when it has come through the gate. */
struct passage {
	bool was_parked, quit, off, reset, reset_alone;
};

static struct passage pass_gate(struct vcpu *vcpu)
{
	struct vcpu_gate *gate = vcpu->host->gate;
	struct passage p = {0};

	(void)pthread_mutex_lock(&gate->lock);
	if (must_park(vcpu)) {
		p.was_parked = true;
		if (++gate->n_parked == gate->n_vcpus)
			signal_parked(gate);
		while (must_park(vcpu))
			(void)pthread_cond_wait(&gate->changed, &gate->lock);
		gate->n_parked--;
	}
	p.quit = gate->quit;
	p.off = vcpu->off;
	p.reset = vcpu->reset_pending;
	p.reset_alone = vcpu->reset_alone;
	vcpu->reset_pending = false;
	vcpu->broken = false;
	(void)pthread_mutex_unlock(&gate->lock);
	return p;
}

/* Wait until the gate is open for this one. False: the thread is to end. */
static bool park(struct vcpu *vcpu)
{
	struct passage p;

	/* One that is off comes through to be reset, and goes back; so does one that could not be reset, and is as it was. */
	do {
		const char *stage;
		int r = 0;

		p = pass_gate(vcpu);
		if (p.quit)
			return false;
		/* What came for its last life. */
		if (p.reset)
			atomic_store(&vcpu->nmi, false);
		if (p.reset)
			r = vcpu_reset(vcpu, p.reset_alone ? VCPU_ALONE : VCPU_RESET, &stage);
		if (r < 0)
			fail(vcpu, "cannot reset vCPU %u: %s: %s", vcpu->index, stage, words(r));
		else if (p.was_parked && !p.reset)
			(void)kvm_vcpu_clock_paused(vcpu->fd);
	} while (p.off || vcpu->broken);
	return true;
}

static uint64_t clock_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* The gate has opened for the first time. */
static void note_entry(struct vcpu *vcpu)
{
	atomic_store_explicit(vcpu->entered, clock_ns(), memory_order_relaxed);
	vcpu->entered = NULL;
}

/* Somebody set 'attention'. False: the thread is to end. */
static bool attend(struct vcpu *vcpu)
{
	/* Pairs with vcpu_kick(). */
	atomic_store(&vcpu->attention, false);
	if (!park(vcpu))
		return false;
	if (vcpu->entered)
		note_entry(vcpu);
	if (atomic_exchange(&vcpu->nmi, false))
		(void)kvm_vcpu_nmi(vcpu->fd);
	return true;
}

/* The PIC's interrupt, on vCPU 0: inject it, or ask KVM to come out when that is possible. */
static void inject_extint(struct vcpu *vcpu)
{
	const struct vcpu_host *host = vcpu->host;

	vcpu->run->request_interrupt_window = 0;
	if (!irq_extint_pending(host->irq))
		return;
	if (vcpu->run->ready_for_interrupt_injection) {
		int vector;

		loop_lock(host->loop);
		vector = irq_extint_ack(host->irq);
		loop_unlock(host->loop);
		if (vector >= 0) {
			(void)kvm_vcpu_interrupt(vcpu->fd, (uint8_t)vector);
			vcpu->run->ready_for_interrupt_injection = 0;
		}
	}
	if (irq_extint_pending(host->irq))
		vcpu->run->request_interrupt_window = 1;
}

static void handle_pio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct bus *bus = vcpu->host->bus;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned size = run->io.size;

	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		uint64_t value = 0;

		if (run->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(&value, data, size);
			bus_write(bus, BUS_PIO, run->io.port, size, value);
		} else {
			value = bus_read(bus, BUS_PIO, run->io.port, size);
			memcpy(data, &value, size);
		}
	}
}

static void handle_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct bus *bus = vcpu->host->bus;
	unsigned size = run->mmio.len;
	uint64_t value = 0;

	/* KVM splits accesses into 1, 2, 4 and 8 bytes, except for rare wide ones: those go nowhere. */
	if (size != 1 && size != 2 && size != 4 && size != 8) {
		memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
		return;
	}
	if (run->mmio.is_write) {
		memcpy(&value, run->mmio.data, size);
		bus_write(bus, BUS_MMIO, run->mmio.phys_addr, size, value);
	} else {
		value = bus_read(bus, BUS_MMIO, run->mmio.phys_addr, size);
		memcpy(run->mmio.data, &value, size);
	}
}

static void handle_eoi(struct vcpu *vcpu)
{
	const struct vcpu_host *host = vcpu->host;

	loop_lock(host->loop);
	irq_eoi(host->irq, vcpu->run->eoi.vector);
	loop_unlock(host->loop);
}

static void handle_system_event(struct vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		request(vcpu, MACHINE_POWEROFF);
		break;
	case KVM_SYSTEM_EVENT_CRASH:
		request(vcpu, MACHINE_PANICKED);
		break;
	default:
		request(vcpu, MACHINE_RESET);
		break;
	}
}

static void handle_internal_error(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_regs regs = {0};
	char bytes[3 * 15 + 1] = "";

	(void)kvm_vcpu_get_regs(vcpu->fd, &regs);
	if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION &&
		run->emulation_failure.ndata >= 3 &&
		(run->emulation_failure.flags &
			KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
		unsigned n = MIN((unsigned)run->emulation_failure.insn_size, 15U);

		for (unsigned i = 0; i < n; i++)
			(void)snprintf(bytes + 3 * i, sizeof(bytes) - 3 * i, " %02x",
				run->emulation_failure.insn_bytes[i]);
	}
	fail(vcpu, "KVM internal error %u on vCPU %u at rip 0x%llx%s%s", run->internal.suberror,
		vcpu->index, regs.rip, *bytes ? ", instruction" : "", bytes);
}

/* One row per exit reason that the run loop knows; 'counter' is the one in vm_stats_vcpu. */
#define COUNTER(name) offsetof(struct vm_stats_vcpu, name)

static void handle_nothing(struct vcpu *vcpu)
{
	(void)vcpu;
}

/* The processor is in shutdown until a reset (Intel SDM volume 3, 6.15): to run it again would be to fault again, which
 * KVM can then report after the reset. */
static void handle_triple_fault(struct vcpu *vcpu)
{
	vcpu->broken = true;
	atomic_store(&vcpu->attention, true);
	request(vcpu, MACHINE_RESET);
}

static void handle_fail_entry(struct vcpu *vcpu)
{
	fail(vcpu, "KVM cannot enter the guest on vCPU %u: hardware reason 0x%llx", vcpu->index,
		vcpu->run->fail_entry.hardware_entry_failure_reason);
}

static const struct exit_row {
	void (*handle)(struct vcpu *vcpu);
	size_t counter;
} exit_rows[] = {
	[KVM_EXIT_IO] = {handle_pio, COUNTER(pio_exits)},
	[KVM_EXIT_MMIO] = {handle_mmio, COUNTER(mmio_exits)},
	[KVM_EXIT_IRQ_WINDOW_OPEN] = {handle_nothing, COUNTER(irq_window_exits)},
	[KVM_EXIT_IOAPIC_EOI] = {handle_eoi, COUNTER(eoi_exits)},
	[KVM_EXIT_INTR] = {handle_nothing, COUNTER(signal_exits)},
	[KVM_EXIT_HLT] = {handle_nothing, COUNTER(other_exits)},
	[KVM_EXIT_SHUTDOWN] = {handle_triple_fault, COUNTER(other_exits)},
	[KVM_EXIT_SYSTEM_EVENT] = {handle_system_event, COUNTER(other_exits)},
	[KVM_EXIT_INTERNAL_ERROR] = {handle_internal_error, COUNTER(other_exits)},
	[KVM_EXIT_FAIL_ENTRY] = {handle_fail_entry, COUNTER(other_exits)},
};

static void dispatch(struct vcpu *vcpu)
{
	uint32_t reason = vcpu->run->exit_reason;
	const struct exit_row *row = reason < ARRAY_SIZE(exit_rows) ? &exit_rows[reason] : NULL;
	stat_counter *counter;
	uint64_t begin_ns;

	if (!row || !row->handle) {
		fail(vcpu, "KVM exit %u on vCPU %u, which vmmd does not know", reason, vcpu->index);
		return;
	}
	if (!vcpu->stats) {
		row->handle(vcpu);
		return;
	}
	counter = (stat_counter *)(void *)((char *)vcpu->stats + row->counter);
	stat_add(&vcpu->stats->exits, 1);
	stat_add(counter, 1);
	begin_ns = clock_ns();
	row->handle(vcpu);
	stat_add(counter + STATS_EXIT_NS / sizeof(*counter), clock_ns() - begin_ns);
}

/* Attend to what was asked for, or first make KVM finish the last exit's instruction. False: the thread is to end. */
static bool look_around(struct vcpu *vcpu)
{
	if (!vcpu->incomplete || vcpu->broken)
		return attend(vcpu);
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	return true;
}

static void run_guest(struct vcpu *vcpu)
{
	while (!atomic_load_explicit(&vcpu->attention, memory_order_acquire) || look_around(vcpu)) {
		int r;

		if (vcpu->index == 0)
			inject_extint(vcpu);
		r = kvm_vcpu_run(vcpu->fd);
		vcpu->incomplete = r >= 0;
		if (r >= 0) {
			dispatch(vcpu);
		} else if (r == -EINTR || r == -EAGAIN) {
			/* Cleared before 'attention' is looked at: pairs with vcpu_kick(). */
			__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
			if (vcpu->stats)
				stat_add(&vcpu->stats->signal_exits, 1);
		} else {
			fail(vcpu, "KVM_RUN on vCPU %u: %s", vcpu->index, words(r));
		}
	}
}

static void on_kick(int signal)
{
	(void)signal;
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	const struct vcpu_host *host = vcpu->host;
	char name[16];
	sigset_t set;
	int r;

	(void)snprintf(name, sizeof(name), "CPU %u/KVM", vcpu->index % 256);
	(void)prctl(PR_SET_NAME, name);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, VCPU_KICK_SIGNAL);
	(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	r = host->enter_sandbox(host->opaque);
	if (r < 0)
		fail(vcpu, "cannot close the sandbox of vCPU %u: %s", vcpu->index, words(r));
	atomic_store(&vcpu->attention, true);
	run_guest(vcpu);
	return NULL;
}

int vcpu_start_thread(struct vcpu *vcpu)
{
	struct sigaction action = {.sa_handler = on_kick};
	pthread_attr_t attr;
	int r;

	if (sigaction(VCPU_KICK_SIGNAL, &action, NULL) < 0)
		return -errno;
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, KIB(128));
	r = pthread_create(&vcpu->thread, &attr, vcpu_thread, vcpu);
	(void)pthread_attr_destroy(&attr);
	if (r)
		return -r;
	vcpu->thread_started = true;
	return 0;
}
