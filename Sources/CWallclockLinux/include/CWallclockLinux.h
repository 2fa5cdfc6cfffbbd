// What Swift cannot import from Linux: variadic and inline calls, cpuid, futexes, CPU sets, NUMA
// memory policy, worker processes, and groups of performance counters.
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

// The auxiliary vector's AT_HWCAP (1) or AT_HWCAP2 (2) on Arm; 0 elsewhere.
uint64_t wcl_hwcap(int which);

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

// CPU time that thread `tid` of this process has used, up to now, in nanoseconds; 0 when there is no such thread.
uint64_t wcl_thread_cpu_nanoseconds(pid_t tid);

// Sleeps while *word == expected; returns 0 when woken, or -EAGAIN, -EINTR.
int wcl_futex_wait(const uint32_t *word, uint32_t expected);

// Wakes at most `count` sleepers on `word`; returns how many.
int wcl_futex_wake(const uint32_t *word, int count);

// ---------------------------------------------------------------------------------------------
// processes

// Starts `/bin/sh -c command` in a process group of its own, its standard input and output on pipes
// and standard error shared; killed when the thread that starts it ends. Returns its process id and
// the caller's ends of the pipes, which the caller closes, or -errno.
pid_t wcl_spawn_shell(const char *command, int *to, int *from);

// 1 and its status when `child` has ended, 0 when not yet, or -errno. With `block`, waits for it.
int wcl_wait(pid_t child, int block, int *status);

// What the status says: the code it exited with, -1 when a signal ended it; that signal, or 0.
int wcl_exit_code(int status);
int wcl_ending_signal(int status);

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
// worker processes: where code that may crash or hang runs

// Starts the program at `path` in a process group of its own, with an argument vector of `word_count`
// words (its name first; each ends in a zero byte, where the next begins), /dev/null as input, and a socket
// to this process as descriptor 3. `shared`, unless it is -1, becomes its descriptor 4. What it prints goes to
// `log`, a file in memory. Its pid, with both descriptors the caller's to close; or -errno.
pid_t wcl_worker_start(
    const char *path, const char *words, size_t word_count, int shared, int *channel, int *log);

// Sends all of it; 0 or -errno (-EPIPE when the other side is gone; there is no signal).
int wcl_worker_send(int channel, const void *bytes, size_t count);

// Waits up to so many milliseconds (-1: for ever) for bytes. How many came; 0 when the other side is
// gone; -EAGAIN when none came in time or a signal arrived; or -errno.
ssize_t wcl_worker_receive(int channel, void *bytes, size_t capacity, int milliseconds);

typedef struct wcl_worker_ending {
  // 1 when it had to be killed: it had not ended within the grace.
  uint8_t was_killed;
  // 1 when it found, by a fatal signal, that its memory limit was reached.
  uint8_t is_out_of_memory;
  // The signal it died of, or 0 and its exit status.
  int signal, status;
} wcl_worker_ending;

// Lets the worker end by itself for so long, then kills its whole group, and reaps it.
wcl_worker_ending wcl_worker_end(pid_t worker, int grace_milliseconds);

// For such a process itself: die with the thread of `parent` that started it, and leave no core file. 0; -ESRCH
// when the parent is gone already; or -errno.
int wcl_child_enter(pid_t parent);

// For a worker itself: all that, and name a lack of memory as such.
int wcl_worker_enter(pid_t parent);

// Lets this process grow by so many bytes of address space from now on; 0: as far as it may. 0 or -errno.
int wcl_worker_limit_memory(uint64_t more_bytes);

// What a process is running now, in memory that it shares with the one that started it; so that is known after
// its death, too.
typedef struct wcl_mark {
  // 0 when nothing is run; and how often something was.
  uint64_t what, runs;
} wcl_mark;

// A file in memory that holds a mark: its descriptor, close-on-exec, or -errno.
int wcl_mark_create(void);
// Null when it cannot be mapped.
wcl_mark *wcl_mark_map(int file);
void wcl_mark_unmap(wcl_mark *mark);
void wcl_mark_enter(wcl_mark *mark, uint64_t what);
void wcl_mark_leave(wcl_mark *mark);
void wcl_mark_read(const wcl_mark *mark, uint64_t *what, uint64_t *runs);

// CPU time that all threads of a process have used, or -errno.
int64_t wcl_process_cpu_nanoseconds(pid_t process);

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
