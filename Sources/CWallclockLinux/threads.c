#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "CWallclockLinux.h"

// The kernel refuses a mask smaller than its own, so grow until it fits; no kernel has more CPUs.
enum { MOST_CPUS = 1 << 16 };

pid_t wcl_gettid(void) { return (pid_t)syscall(SYS_gettid); }

int wcl_current_cpu(void) {
  int cpu = sched_getcpu();
  return cpu < 0 ? -errno : cpu;
}

int wcl_get_affinity(pid_t tid, int *cpus, int capacity) {
  for (int limit = 1024; limit <= MOST_CPUS; limit *= 2) {
    cpu_set_t *set = CPU_ALLOC(limit);
    if (!set) return -ENOMEM;
    size_t bytes = CPU_ALLOC_SIZE(limit);
    CPU_ZERO_S(bytes, set);
    if (sched_getaffinity(tid, bytes, set) == 0) {
      int count = 0;
      for (int cpu = 0; cpu < limit; cpu++) {
        if (!CPU_ISSET_S(cpu, bytes, set)) continue;
        if (count < capacity) cpus[count] = cpu;
        count++;
      }
      CPU_FREE(set);
      return count;
    }
    int error = errno;
    CPU_FREE(set);
    if (error != EINVAL) return -error;
  }
  return -EINVAL;
}

int wcl_set_affinity(pid_t tid, const int *cpus, int count) {
  int limit = 1024;
  for (int i = 0; i < count; i++) {
    if (cpus[i] < 0 || cpus[i] >= MOST_CPUS) return -EINVAL;
    while (cpus[i] >= limit) limit *= 2;
  }
  cpu_set_t *set = CPU_ALLOC(limit);
  if (!set) return -ENOMEM;
  size_t bytes = CPU_ALLOC_SIZE(limit);
  CPU_ZERO_S(bytes, set);
  for (int i = 0; i < count; i++) CPU_SET_S(cpus[i], bytes, set);
  int result = sched_setaffinity(tid, bytes, set) == 0 ? 0 : -errno;
  CPU_FREE(set);
  return result;
}

void wcl_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

uint64_t wcl_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t wcl_thread_cpu_nanoseconds(pid_t tid) {
  // The clock of a thread by its number, as clock_getcpuclockid(3) makes that of a process: the kernel's
  // MAKE_THREAD_CPUCLOCK(tid, CPUCLOCK_SCHED).
  const clockid_t clock = (clockid_t)(~(unsigned)tid << 3 | 6);
  struct timespec used;
  if (clock_gettime(clock, &used) != 0) return 0;
  return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

int wcl_futex_wait(const uint32_t *word, uint32_t expected) {
  long r = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
  return r == 0 ? 0 : -errno;
}

int wcl_futex_wake(const uint32_t *word, int count) {
  long r = syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
  return r >= 0 ? (int)r : -errno;
}
