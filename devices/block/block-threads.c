/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk's backend on a few threads that do plain preadv2(2), pwritev2(2), fdatasync(2) and fallocate(2): for
 * hosts without io_uring, and for <driver io='threads'>. See backend.h.
 *
 * The loop's thread puts operations into 'todo' and wakes the pool; a thread moves each to 'finished' and
 * signals the eventfd when that list was empty; the loop's thread takes the whole list at once. Everything
 * shared is under 'lock', which nobody holds across a system call that can block.
 *
 * Tested by tests/unit/test-block-raw.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/block/backend.h"

#define STACK_SIZE KIB(256)

struct block_threads {
	struct block_backend backend;
	int fd, event_fd;
	struct loop_source *source;
	int (*enter)(void *opaque);
	void *enter_opaque;

	unsigned n_threads;
	pthread_t threads[BLOCK_THREADS];
	unsigned n_queued;  /* loop's thread: submitted since the last commit */
	unsigned n_pending; /* loop's thread: submitted and not answered */

	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct list todo, finished;
	bool quit;
};

static int64_t perform(int fd, const struct block_io *io)
{
	unsigned n_iov = MIN(io->n_iov, (unsigned)IOV_MAX);
	int64_t n = -EINVAL;

	switch (io->op) {
	case BLOCK_IO_READ:
		n = preadv2(fd, io->iov, (int)n_iov, (off_t)io->offset, 0);
		break;
	case BLOCK_IO_WRITE:
		n = pwritev2(fd, io->iov, (int)n_iov, (off_t)io->offset, io->dsync ? RWF_DSYNC : 0);
		break;
	case BLOCK_IO_SYNC:
		n = fdatasync(fd);
		break;
	case BLOCK_IO_ALLOCATE:
		n = fallocate(fd, io->mode, (off_t)io->offset, (off_t)io->len);
		break;
	case BLOCK_IO_OP_X_MAX:
		assert(false);
	}
	return n < 0 ? -errno : n;
}

/* The next operation to do, NULL to end. */
static struct block_io *take_todo(struct block_threads *t)
{
	struct block_io *io = NULL;

	(void)pthread_mutex_lock(&t->lock);
	while (list_empty(&t->todo) && !t->quit)
		(void)pthread_cond_wait(&t->wake, &t->lock);
	if (!list_empty(&t->todo)) {
		io = list_entry(t->todo.next, struct block_io, link);
		list_del(&io->link);
	}
	(void)pthread_mutex_unlock(&t->lock);
	return io;
}

static void put_finished(struct block_threads *t, struct block_io *io)
{
	uint64_t one = 1;
	bool first;

	(void)pthread_mutex_lock(&t->lock);
	first = list_empty(&t->finished);
	list_add_tail(&t->finished, &io->link);
	(void)pthread_mutex_unlock(&t->lock);
	if (first)
		(void)!write(t->event_fd, &one, sizeof(one));
}

static void *thread_main(void *opaque)
{
	struct block_threads *t = opaque;
	int error = t->enter ? t->enter(t->enter_opaque) : 0;
	struct block_io *io;

	while ((io = take_todo(t))) {
		io->result = error < 0 ? -EIO : perform(t->fd, io);
		put_finished(t, io);
	}
	return NULL;
}

static int submit(struct block_backend *backend, struct block_io *io)
{
	struct block_threads *t = container_of(backend, struct block_threads, backend);

	if (t->n_pending == BLOCK_DEPTH)
		return -EAGAIN;
	t->n_pending++;
	t->n_queued++;
	(void)pthread_mutex_lock(&t->lock);
	list_add_tail(&t->todo, &io->link);
	(void)pthread_mutex_unlock(&t->lock);
	return 0;
}

static void commit(struct block_backend *backend)
{
	struct block_threads *t = container_of(backend, struct block_threads, backend);

	if (!t->n_queued)
		return;
	(void)pthread_mutex_lock(&t->lock);
	if (t->n_queued == 1)
		(void)pthread_cond_signal(&t->wake);
	else
		(void)pthread_cond_broadcast(&t->wake);
	(void)pthread_mutex_unlock(&t->lock);
	t->n_queued = 0;
}

static void on_event(void *opaque, _unused_ uint32_t events)
{
	struct block_threads *t = opaque;
	struct list finished, *pos, *tmp;
	uint64_t count;

	(void)!read(t->event_fd, &count, sizeof(count));
	list_init(&finished);
	(void)pthread_mutex_lock(&t->lock);
	list_for_each_safe (pos, tmp, &t->finished) {
		list_del(pos);
		list_add_tail(&finished, pos);
	}
	(void)pthread_mutex_unlock(&t->lock);
	if (list_empty(&finished))
		return;
	list_for_each_safe (pos, tmp, &finished) {
		struct block_io *io = list_entry(pos, struct block_io, link);

		list_del(pos);
		t->n_pending--;
		t->backend.done(t->backend.opaque, io, io->result);
	}
	commit(&t->backend);
	t->backend.sweep(t->backend.opaque);
}

static void threads_free(struct block_backend *backend)
{
	struct block_threads *t = container_of(backend, struct block_threads, backend);

	/* The threads finish what was queued, then end. */
	(void)pthread_mutex_lock(&t->lock);
	t->quit = true;
	(void)pthread_cond_broadcast(&t->wake);
	(void)pthread_mutex_unlock(&t->lock);
	for (unsigned i = 0; i < t->n_threads; i++)
		(void)pthread_join(t->threads[i], NULL);
	(void)loop_source_remove(t->source);
	(void)safe_close(t->event_fd);
	(void)pthread_cond_destroy(&t->wake);
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
}

static const struct block_backend_ops threads_ops = {
	.name = "threads",
	.submit = submit,
	.commit = commit,
	.free = threads_free,
};

static int start_threads(struct block_threads *t)
{
	pthread_attr_t attr;
	int r;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, MAX((size_t)STACK_SIZE, (size_t)PTHREAD_STACK_MIN));
	for (r = 0; t->n_threads < BLOCK_THREADS; t->n_threads++) {
		r = pthread_create(&t->threads[t->n_threads], &attr, thread_main, t);
		if (r)
			break;
	}
	(void)pthread_attr_destroy(&attr);
	return -r;
}

int block_threads_new(struct loop *loop, int fd, int (*enter)(void *opaque), void *opaque,
	struct block_backend **ret_backend)
{
	_cleanup_(block_backend_freep) struct block_backend *backend = NULL;
	struct block_threads *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	*t = (struct block_threads){
		.backend.ops = &threads_ops,
		.fd = fd,
		.event_fd = -EBADF,
		.enter = enter,
		.enter_opaque = opaque,
	};
	(void)pthread_mutex_init(&t->lock, NULL);
	(void)pthread_cond_init(&t->wake, NULL);
	list_init(&t->todo);
	list_init(&t->finished);
	backend = &t->backend;

	t->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->event_fd < 0)
		return -errno;

	r = loop_add_fd(loop, t->event_fd, EPOLLIN, on_event, t, &t->source);
	if (r < 0)
		return r;

	r = start_threads(t);
	if (r < 0)
		return r;

	*ret_backend = TAKE_PTR(backend);
	return 0;
}
