// Groups of counters: open, read, scale, sum over threads.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "CWallclockLinux.h"

struct wcl_group {
  size_t events, threads;
  int *status;    // per event: 0 or -errno
  int *fds;       // threads × events; -1 where not open
  int *leaders;   // per thread: the fd that stands for the group
  uint64_t *ids;  // threads × events
  uint64_t *buffer;  // for one read: nr, enabled, running, then (value, id) per event
};

static int open_event(const wcl_event *event, pid_t thread, int leader) {
  struct perf_event_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.size = sizeof attr;
  attr.type = event->type;
  attr.config = event->config;
  attr.config1 = event->config1;
  attr.config2 = event->config2;
  attr.disabled = leader < 0;
  attr.exclude_kernel = !event->kernel;
  attr.exclude_hv = !event->kernel;
  attr.read_format = PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED |
                     PERF_FORMAT_TOTAL_TIME_RUNNING | PERF_FORMAT_ID;
  long fd = syscall(SYS_perf_event_open, &attr, thread, -1, leader, PERF_FLAG_FD_CLOEXEC);
  return fd < 0 ? -errno : (int)fd;
}

// Closes event `e` on every thread: a sum over some of the threads would be a wrong number.
static void drop_event(wcl_group *g, size_t e, int status) {
  g->status[e] = status;
  for (size_t t = 0; t < g->threads; t++) {
    int *fd = &g->fds[t * g->events + e];
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
}

static int open_thread(wcl_group *g, const wcl_event *events, size_t t, pid_t thread) {
  g->leaders[t] = -1;
  for (size_t e = 0; e < g->events; e++) {
    if (g->status[e] != 0) continue;
    int fd = open_event(&events[e], thread, g->leaders[t]);
    if (fd < 0) {
      drop_event(g, e, fd);
      continue;
    }
    g->fds[t * g->events + e] = fd;
    if (g->leaders[t] < 0) g->leaders[t] = fd;
    if (ioctl(fd, PERF_EVENT_IOC_ID, &g->ids[t * g->events + e]) != 0) return -errno;
  }
  return g->leaders[t] < 0 ? -ENOENT : 0;
}

static void close_threads(wcl_group *g) {
  for (size_t i = 0; i < g->threads * g->events; i++) {
    if (g->fds[i] >= 0) close(g->fds[i]);
    g->fds[i] = -1;
  }
}

int wcl_group_open(
    const wcl_event *events, size_t event_count, const pid_t *threads, size_t thread_count,
    wcl_group **group) {
  if (event_count == 0 || thread_count == 0 || event_count > 64 || thread_count > 1 << 16) return -EINVAL;
  wcl_group *g = calloc(1, sizeof *g);
  if (!g) return -ENOMEM;
  size_t cells = event_count * thread_count;
  g->events = event_count;
  g->threads = thread_count;
  g->status = calloc(event_count, sizeof *g->status);
  g->fds = malloc(cells * sizeof *g->fds);
  g->leaders = malloc(thread_count * sizeof *g->leaders);
  g->ids = calloc(cells, sizeof *g->ids);
  g->buffer = malloc((3 + 2 * event_count) * sizeof *g->buffer);
  if (g->fds) {
    for (size_t i = 0; i < cells; i++) g->fds[i] = -1;
  }
  int result = -ENOMEM;
  if (g->status && g->fds && g->leaders && g->ids && g->buffer) {
    // Opening an event on a later thread may drop it from the earlier ones, and with it their
    // leader: then open again without it. Each turn drops at least one event, so this ends.
    size_t dropped;
    do {
      size_t before = 0, after = 0;
      for (size_t e = 0; e < event_count; e++) before += g->status[e] != 0;
      result = 0;
      for (size_t t = 0; t < thread_count && result == 0; t++) result = open_thread(g, events, t, threads[t]);
      for (size_t e = 0; e < event_count; e++) after += g->status[e] != 0;
      dropped = after - before;
      if (dropped && after < event_count) close_threads(g);
      if (after == event_count) {
        result = g->status[0];
        break;
      }
    } while (dropped);
  }
  if (result != 0) {
    wcl_group_close(g);
    return result;
  }
  *group = g;
  return 0;
}

static int control(wcl_group *g, unsigned long request) {
  for (size_t t = 0; t < g->threads; t++) {
    if (ioctl(g->leaders[t], request, PERF_IOC_FLAG_GROUP) != 0) return -errno;
  }
  return 0;
}

int wcl_group_reset(wcl_group *g) { return control(g, PERF_EVENT_IOC_RESET); }
int wcl_group_enable(wcl_group *g) { return control(g, PERF_EVENT_IOC_ENABLE); }
int wcl_group_disable(wcl_group *g) { return control(g, PERF_EVENT_IOC_DISABLE); }

int wcl_group_read(wcl_group *g, wcl_group_value *values) {
  memset(values, 0, g->events * sizeof *values);
  for (size_t e = 0; e < g->events; e++) {
    values[e].status = g->status[e];
    values[e].least_running = 1;
  }
  for (size_t t = 0; t < g->threads; t++) {
    ssize_t bytes = read(g->leaders[t], g->buffer, (3 + 2 * g->events) * sizeof *g->buffer);
    if (bytes < 0) return -errno;
    if (bytes < (ssize_t)(3 * sizeof *g->buffer)) return -EIO;
    uint64_t count = g->buffer[0], enabled = g->buffer[1], running = g->buffer[2];
    if (count > g->events || (size_t)bytes < (3 + 2 * count) * sizeof *g->buffer) return -EIO;
    for (size_t e = 0; e < g->events; e++) {
      if (g->status[e] != 0) continue;
      values[e].enabled += enabled;
      values[e].running += running;
      double share = enabled > 0 ? (double)running / (double)enabled : 1;
      if (share < values[e].least_running) values[e].least_running = share;
      for (uint64_t i = 0; i < count; i++) {
        if (g->buffer[4 + 2 * i] != g->ids[t * g->events + e]) continue;
        double raw = (double)g->buffer[3 + 2 * i];
        if (running > 0) values[e].value += raw * ((double)enabled / (double)running);
      }
    }
  }
  return 0;
}

void wcl_group_close(wcl_group *g) {
  if (!g) return;
  if (g->fds) close_threads(g);
  free(g->status);
  free(g->fds);
  free(g->leaders);
  free(g->ids);
  free(g->buffer);
  free(g);
}
