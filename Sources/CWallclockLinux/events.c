// Event names to perf_event_open's numbers, by libpfm4.
#define _GNU_SOURCE
#include <perfmon/pfmlib_perf_event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CWallclockLinux.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int initialised;

// libpfm encodes for PMUs it did not detect only when told so by this variable, which it reads
// once, while it initialises. Callers choose a PMU by wcl_core_pmu before they open anything.
static void initialise(void) {
  int was_set = getenv("LIBPFM_ENCODE_INACTIVE") != NULL;
  setenv("LIBPFM_ENCODE_INACTIVE", "1", 0);
  initialised = pfm_initialize();
  if (!was_set) unsetenv("LIBPFM_ENCODE_INACTIVE");
}

int wcl_encode_event(const char *name, wcl_event *event, char *message, size_t capacity) {
  pthread_once(&once, initialise);
  int result = initialised;
  struct perf_event_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.size = sizeof attr;
  if (result == PFM_SUCCESS) {
    pfm_perf_encode_arg_t arg;
    memset(&arg, 0, sizeof arg);
    arg.attr = &attr;
    arg.size = sizeof arg;
    result = pfm_get_os_event_encoding(name, PFM_PLM3, PFM_OS_PERF_EVENT, &arg);
  }
  if (result != PFM_SUCCESS) {
    if (capacity) snprintf(message, capacity, "%s", pfm_strerror(result));
    return -1;
  }
  *event = (wcl_event){
      .type = attr.type, .config = attr.config, .config1 = attr.config1, .config2 = attr.config2, .kernel = 0};
  return 0;
}

const char *wcl_core_pmu(int index) {
  pthread_once(&once, initialise);
  if (initialised != PFM_SUCCESS || index < 0) return NULL;
  for (int pmu = 0; pmu < PFM_PMU_MAX; pmu++) {
    pfm_pmu_info_t info;
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    if (pfm_get_pmu_info((pfm_pmu_t)pmu, &info) != PFM_SUCCESS) continue;
    if (!info.is_present || info.type != PFM_PMU_TYPE_CORE) continue;
    if (index-- == 0) return info.name;
  }
  return NULL;
}
