// What Swift cannot import from Linux: variadic and inline calls, cpuid, futexes, CPU sets, NUMA
// memory policy, and groups of performance counters.
//
// Calls that can fail return a negative errno. Nothing here owns memory of the caller.
#ifndef CWALLCLOCK_LINUX_H
#define CWALLCLOCK_LINUX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------------------------------------
// processor

typedef struct wcl_cpuid_registers {
  uint32_t eax, ebx, ecx, edx;
} wcl_cpuid_registers;

// One leaf; zeros where the processor has no cpuid.
wcl_cpuid_registers wcl_cpuid(uint32_t leaf, uint32_t subleaf);

// XCR0: the register state the kernel saves. 0 where there is no xgetbv or the kernel left it off.
uint64_t wcl_xcr0(void);

// Asks the kernel to let this process use AMX tiles (arch_prctl ARCH_REQ_XCOMP_PERM); 0 or -errno.
int wcl_request_amx(void);

// Tells the core that this is a spin loop.
static inline void wcl_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");  // yield is a no-op on most cores
#endif
}

// ---------------------------------------------------------------------------------------------
// threads

pid_t wcl_gettid(void);

// The CPU the caller runs on now, or -errno.
int wcl_current_cpu(void);

// The CPUs thread `tid` (0: the caller) may run on, ascending. Writes at most `capacity`; returns
// how many there are, which may be more, or -errno.
int wcl_get_affinity(pid_t tid, int *cpus, int capacity);

// Lets thread `tid` (0: the caller) run on these CPUs only; 0 or -errno.
int wcl_set_affinity(pid_t tid, const int *cpus, int count);

// Names the calling thread, for tools that list threads; cut to 15 bytes.
void wcl_name_thread(const char *name);

// The monotonic clock, in nanoseconds.
uint64_t wcl_nanoseconds(void);

// Sleeps while *word == expected; returns 0 when woken, or -EAGAIN, -EINTR.
int wcl_futex_wait(const uint32_t *word, uint32_t expected);

// Wakes at most `count` sleepers on `word`; returns how many.
int wcl_futex_wake(const uint32_t *word, int count);

// ---------------------------------------------------------------------------------------------
// NUMA, through libnuma

// 1 when the kernel has NUMA policy and lets us ask, else 0; then the calls below return -ENOSYS.
int wcl_numa_available(void);

int wcl_numa_max_node(void);

// As wcl_get_affinity, for the CPUs of a node; -ENOENT when there is no such node.
int wcl_numa_node_cpus(int node, int *cpus, int capacity);

// Memory of a node in bytes, or -errno.
int64_t wcl_numa_node_bytes(int node);

// 1 when this process may take memory from the node, else 0.
int wcl_numa_node_allowed(int node);

// Binds pages not touched yet: to one node, or page by page over all nodes allowed. 0 or -errno.
int wcl_numa_bind(void *start, size_t bytes, int node);
int wcl_numa_interleave(void *start, size_t bytes);

// The node of each of `count` pages from `start`, or the page's -errno (-ENOENT: not touched).
int wcl_numa_page_nodes(void *start, size_t count, size_t page_bytes, int *nodes);

// ---------------------------------------------------------------------------------------------
// counters: perf_event_open. Needs no libpfm, so that it can be cross-built by itself.

typedef struct wcl_event {
  uint32_t type;
  uint64_t config, config1, config2;
  // 1: counted in the kernel as well; refused when perf_event_paranoid forbids it.
  uint8_t kernel;
} wcl_event;

typedef struct wcl_group wcl_group;

typedef struct wcl_group_value {
  // Sum over threads, each scaled by its enabled/running time.
  double value;
  // Sums over threads of the time the event was enabled and counted for, in nanoseconds.
  uint64_t enabled, running;
  // The least running/enabled of any thread that ran: a sum is no better than its worst part.
  double least_running;
  // 0, or the -errno with which the event could not be opened on some thread.
  int status;
} wcl_group_value;

// Opens one group of `events` on each of `threads` (kernel thread ids), not counting yet. Events
// that cannot be opened are left out, and their errno is in the reading. The caller owns the group.
// 0 or -errno; fails with the first event's error when no event could be opened at all.
int wcl_group_open(
    const wcl_event *events, size_t event_count, const pid_t *threads, size_t thread_count,
    wcl_group **group);

int wcl_group_reset(wcl_group *group);
int wcl_group_enable(wcl_group *group);
int wcl_group_disable(wcl_group *group);

// One value per event, in the order they were given to wcl_group_open.
int wcl_group_read(wcl_group *group, wcl_group_value *values);

void wcl_group_close(wcl_group *group);

// ---------------------------------------------------------------------------------------------
// event names, through libpfm4

// Encodes `PMU::EVENT:UMASK` for perf_event_open. Knows the tables of PMUs that are not in this
// machine too. 0; or -1 and, in `message` (of `capacity` bytes), what libpfm says.
int wcl_encode_event(const char *name, wcl_event *event, char *message, size_t capacity);

// The name of the i-th core PMU libpfm detected by the CPU's identity, or null past the last.
const char *wcl_core_pmu(int index);

#ifdef __cplusplus
}
#endif
#endif
