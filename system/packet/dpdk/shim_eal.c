//go:build dpdk

// Process-wide part: EAL, its log, its threads and its memory.

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_malloc.h>
#include <rte_version.h>

#include "shim.h"

// The first line logged at level ERR or worse since it was last taken: the cause that a bare errno
// does not tell. What EAL logs after it are usually its consequences.
static char first_error[256];
static pthread_mutex_t first_error_lock = PTHREAD_MUTEX_INITIALIZER;

static ssize_t log_write(void *cookie, const char *line, size_t size)
{
	(void)cookie;
	pthread_mutex_lock(&first_error_lock);
	if (first_error[0] == 0 && (uint32_t)rte_log_cur_msg_loglevel() <= RTE_LOG_ERR) {
		size_t n = RTE_MIN(size, sizeof(first_error) - 1);

		memcpy(first_error, line, n);
		first_error[n] = 0;
		first_error[strcspn(first_error, "\n")] = 0;
	}
	pthread_mutex_unlock(&first_error_lock);
	fwrite(line, 1, size, stderr);
	return size;
}

void mtn_take_error(char *out, size_t size)
{
	pthread_mutex_lock(&first_error_lock);
	snprintf(out, size, "%s", first_error);
	first_error[0] = 0;
	pthread_mutex_unlock(&first_error_lock);
}

int mtn_eal_init(int argc, char **argv)
{
	static const cookie_io_functions_t functions = { .write = log_write };
	FILE *log = fopencookie(NULL, "w", functions);
	if (log != NULL) {
		setvbuf(log, NULL, _IOLBF, 1024);
		rte_openlog_stream(log);
	}
	// EAL prints its usage on stdout, where the events of a trial's process go.
	stdout = stderr;
	mtn_guard_faults();
	return rte_eal_init(argc, argv) < 0 ? -rte_errno : 0;
}

int mtn_eal_cleanup(void)
{
	rte_openlog_stream(stderr);
	return rte_eal_cleanup();
}

const char *mtn_version(void)
{
	return rte_version();
}

const char *mtn_runtime_dir(void)
{
	return rte_eal_get_runtime_dir();
}

int mtn_thread_register(void)
{
	if (rte_lcore_id() != LCORE_ID_ANY)
		return 1;
	return rte_thread_register() < 0 ? -rte_errno : 0;
}

void mtn_thread_unregister(void)
{
	rte_thread_unregister();
}

void mtn_heap(struct mtn_heap *out)
{
	struct rte_malloc_socket_stats stats;

	memset(out, 0, sizeof(*out));
	for (int socket = 0; socket < RTE_MAX_NUMA_NODES; socket++) {
		if (rte_malloc_get_socket_stats(socket, &stats) != 0)
			continue;
		out->total += stats.heap_totalsz_bytes;
		out->allocated += stats.heap_allocsz_bytes;
	}
}
