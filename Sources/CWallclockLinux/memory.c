#define _GNU_SOURCE
#include <errno.h>
#include <numa.h>
#include <numaif.h>
#include <stdarg.h>
#include <stdlib.h>

#include "CWallclockLinux.h"

// libnuma prints to stderr when /sys is odd unless the program replaces these (numa(3)); what is
// missing is reported by those who asked for it.
void numa_warn(int number, char *format, ...) { (void)number, (void)format; }
void numa_error(char *where) { (void)where; }

int wcl_numa_available(void) { return numa_available() >= 0; }

int wcl_numa_max_node(void) { return wcl_numa_available() ? numa_max_node() : -ENOSYS; }

static int has_node(int node) {
  return node >= 0 && node <= numa_max_node() && numa_bitmask_isbitset(numa_nodes_ptr, (unsigned)node);
}

int wcl_numa_node_cpus(int node, int *cpus, int capacity) {
  if (!wcl_numa_available()) return -ENOSYS;
  if (!has_node(node)) return -ENOENT;
  struct bitmask *mask = numa_allocate_cpumask();
  if (!mask) return -ENOMEM;
  int count = 0;
  if (numa_node_to_cpus(node, mask) != 0) {
    count = errno ? -errno : -EIO;
  } else {
    for (unsigned cpu = 0; cpu < mask->size; cpu++) {
      if (!numa_bitmask_isbitset(mask, cpu)) continue;
      if (count < capacity) cpus[count] = (int)cpu;
      count++;
    }
  }
  numa_free_cpumask(mask);
  return count;
}

int64_t wcl_numa_node_bytes(int node) {
  if (!wcl_numa_available()) return -ENOSYS;
  if (!has_node(node)) return -ENOENT;
  long long bytes = numa_node_size64(node, NULL);
  return bytes < 0 ? -EIO : (int64_t)bytes;
}

int wcl_numa_node_allowed(int node) {
  if (!wcl_numa_available() || !has_node(node)) return 0;
  struct bitmask *allowed = numa_get_mems_allowed();
  if (!allowed) return 0;
  int result = numa_bitmask_isbitset(allowed, (unsigned)node) != 0;
  numa_free_nodemask(allowed);
  return result;
}

// The kernel reads maxnode − 1 bits of the mask.
static int bind_pages(void *start, size_t bytes, int mode, struct bitmask *nodes) {
  long r = mbind(start, bytes, mode, nodes->maskp, nodes->size + 1, 0);
  return r == 0 ? 0 : -errno;
}

int wcl_numa_bind(void *start, size_t bytes, int node) {
  if (!wcl_numa_available()) return -ENOSYS;
  if (!has_node(node)) return -ENOENT;
  struct bitmask *mask = numa_allocate_nodemask();
  if (!mask) return -ENOMEM;
  numa_bitmask_setbit(mask, (unsigned)node);
  int result = bind_pages(start, bytes, MPOL_BIND, mask);
  numa_free_nodemask(mask);
  return result;
}

int wcl_numa_interleave(void *start, size_t bytes) {
  if (!wcl_numa_available()) return -ENOSYS;
  struct bitmask *allowed = numa_get_mems_allowed();
  if (!allowed) return -ENOMEM;
  int result = bind_pages(start, bytes, MPOL_INTERLEAVE, allowed);
  numa_free_nodemask(allowed);
  return result;
}

int wcl_numa_page_nodes(void *start, size_t count, size_t page_bytes, int *nodes) {
  if (!wcl_numa_available()) return -ENOSYS;
  enum { BATCH = 512 };
  void *pages[BATCH];
  for (size_t done = 0; done < count; done += BATCH) {
    size_t n = count - done < BATCH ? count - done : BATCH;
    for (size_t i = 0; i < n; i++) pages[i] = (char *)start + (done + i) * page_bytes;
    if (move_pages(0, n, pages, NULL, nodes + done, 0) < 0) return -errno;
  }
  return 0;
}
