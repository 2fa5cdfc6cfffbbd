#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "CWallclockLinux.h"

enum { LOG_BYTES = 1 << 20, EXIT_OUT_OF_MEMORY = 137 };

// The descriptor a worker finds its channel on; 0 is /dev/null, 1 and 2 are the log.
enum { CHANNEL = 3, SHARED = 4 };

// The same file under a number that no worker descriptor has: a process may have begun without 0, 1 or 2.
static int out_of_the_way(int file) {
  if (file < 0 || file > SHARED) return file;
  int higher = fcntl(file, F_DUPFD_CLOEXEC, SHARED + 1);
  int error = errno;
  close(file);
  errno = error;
  return higher;
}

pid_t wcl_worker_start(
    const char *path, const char *words, size_t word_count, int shared, int *channel, int *log) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return -errno;
  int file = memfd_create("wallclock-worker-log", MFD_CLOEXEC);
  int error = file < 0 ? errno : 0;
  if (!error && ((ends[0] = out_of_the_way(ends[0])) < 0 || (ends[1] = out_of_the_way(ends[1])) < 0
                 || (file = out_of_the_way(file)) < 0)) {
    error = errno;
  }

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  pid_t child = 0;
  if (!error) {
    // What is opened anywhere in Wallclock is close-on-exec, so these are all a worker inherits.
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, file, 1);
    posix_spawn_file_actions_adddup2(&actions, file, 2);
    posix_spawn_file_actions_adddup2(&actions, ends[1], CHANNEL);
    if (shared >= 0) posix_spawn_file_actions_adddup2(&actions, shared, SHARED);
    // A process group of its own: Ctrl-C is for the tune, and what a candidate starts ends with it.
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

    // One malloc arena, so that an address-space limit means memory; no backtraces, which take seconds.
    extern char **environ;
    size_t count = 0;
    while (environ[count]) count++;
    char **environment = calloc(count + 3, sizeof *environment);
    char **arguments = calloc(word_count + 1, sizeof *arguments);
    if (environment && arguments) {
      for (size_t i = 0; i < word_count; i++) {
        arguments[i] = (char *)words;
        words += strlen(words) + 1;
      }
      size_t kept = 0;
      for (size_t i = 0; i < count; i++) {
        if (strncmp(environ[i], "SWIFT_BACKTRACE=", 16) && strncmp(environ[i], "MALLOC_ARENA_MAX=", 17))
          environment[kept++] = environ[i];
      }
      environment[kept++] = (char *)"SWIFT_BACKTRACE=enable=no";
      environment[kept] = (char *)"MALLOC_ARENA_MAX=1";
      error = posix_spawn(&child, path, &actions, &attributes, arguments, environment);
    } else {
      error = ENOMEM;
    }
    free(environment);
    free(arguments);
  }
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (ends[1] >= 0) close(ends[1]);
  if (error) {
    if (ends[0] >= 0) close(ends[0]);
    if (file >= 0) close(file);
    return -error;
  }
  *channel = ends[0];
  *log = file;
  return child;
}

int wcl_worker_send(int channel, const void *bytes, size_t count) {
  while (count > 0) {
    ssize_t sent = send(channel, bytes, count, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return -errno;
    bytes = (const char *)bytes + sent;
    count -= (size_t)sent;
  }
  return 0;
}

ssize_t wcl_worker_receive(int channel, void *bytes, size_t capacity, int milliseconds) {
  struct pollfd waiting = {.fd = channel, .events = POLLIN};
  int ready = poll(&waiting, 1, milliseconds);
  if (ready == 0 || (ready < 0 && errno == EINTR)) return -EAGAIN;
  if (ready < 0) return -errno;
  ssize_t got = recv(channel, bytes, capacity, 0);
  if (got < 0 && errno == ECONNRESET) return 0;
  if (got < 0) return errno == EINTR ? -EAGAIN : -errno;
  return got;
}

wcl_worker_ending wcl_worker_end(pid_t worker, int grace_milliseconds) {
  wcl_worker_ending ending = {0};
  // A worker that closed its channel is on its way out, maybe by a signal that should be named. It is not
  // reaped before its group is killed: until then no other process can get the group's number.
  siginfo_t info = {0};
  for (int waited = 0;
       waitid(P_PID, (id_t)worker, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0
       && waited < grace_milliseconds;
       waited++) {
    poll(NULL, 0, 1);
  }
  ending.was_killed = info.si_pid == 0;
  kill(-worker, SIGKILL);

  int status = 0;
  pid_t done;
  do {
    done = waitpid(worker, &status, 0);
  } while (done < 0 && errno == EINTR);
  if (done != worker) return ending;
  ending.is_out_of_memory = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OUT_OF_MEMORY;
  if (WIFSIGNALED(status)) ending.signal = WTERMSIG(status);
  if (WIFEXITED(status)) ending.status = WEXITSTATUS(status);
  return ending;
}

// ---------------------------------------------------------------------------------------------
// in the worker

static size_t probe_bytes;

// Out of memory shows itself as whatever the candidate does with a null pointer. When an eighth of what it was
// given cannot be had any more, that is what happened.
static void on_fatal_signal(int number) {
  if (probe_bytes > 0) {
    void *probe = mmap(NULL, probe_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe == MAP_FAILED) _exit(EXIT_OUT_OF_MEMORY);
  }
  signal(number, SIG_DFL);
  raise(number);
}

int wcl_child_enter(pid_t parent) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return -errno;
  // The parent may have died before that.
  if (getppid() != parent) return -ESRCH;
  struct rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) return -errno;
  // A write past a limit fails as one to a full disk does.
  signal(SIGXFSZ, SIG_IGN);
  // The limit on core files is not heeded where they are piped to a program.
  return prctl(PR_SET_DUMPABLE, 0) == 0 ? 0 : -errno;
}

int wcl_worker_enter(pid_t parent) {
  // Should the whole system run short, this process goes first. What is not dumpable may not say so.
  int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score >= 0) {
    ssize_t ignored = write(score, "1000", 4);
    (void)ignored;
    close(score);
  }
  int entered = wcl_child_enter(parent);
  if (entered != 0) return entered;
  // Kernels write no files; what they print goes to the log, which is memory.
  struct rlimit log;
  if (getrlimit(RLIMIT_FSIZE, &log) != 0) return -errno;
  if (log.rlim_cur > LOG_BYTES) log.rlim_cur = LOG_BYTES;
  if (setrlimit(RLIMIT_FSIZE, &log) != 0) return -errno;
  struct sigaction action = {.sa_handler = on_fatal_signal, .sa_flags = SA_NODEFER | SA_RESETHAND | SA_ONSTACK};
  sigemptyset(&action.sa_mask);
  const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};
  for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) {
    if (sigaction(fatal[i], &action, NULL) != 0) return -errno;
  }
  return 0;
}

int wcl_worker_limit_memory(uint64_t more_bytes) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) != 0) return -errno;
  if (more_bytes == 0) {
    probe_bytes = 0;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_AS, &limit) == 0 ? 0 : -errno;
  }
  FILE *file = fopen("/proc/self/statm", "re");
  if (!file) return -errno;
  unsigned long long pages = 0;
  int found = fscanf(file, "%llu", &pages);
  fclose(file);
  if (found != 1) return -EIO;
  uint64_t wanted = pages * (uint64_t)sysconf(_SC_PAGESIZE) + more_bytes;
  limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
  if (setrlimit(RLIMIT_AS, &limit) != 0) return -errno;
  probe_bytes = more_bytes / 8;
  return 0;
}

// ---------------------------------------------------------------------------------------------
// what a process is running now, for the one that started it

int wcl_mark_create(void) {
  int file = out_of_the_way(memfd_create("wallclock-mark", MFD_CLOEXEC));
  if (file < 0) return -errno;
  if (ftruncate(file, sizeof(wcl_mark)) == 0) return file;
  int error = errno;
  close(file);
  return -error;
}

wcl_mark *wcl_mark_map(int file) {
  void *page = mmap(NULL, sizeof(wcl_mark), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  return page == MAP_FAILED ? NULL : page;
}

void wcl_mark_unmap(wcl_mark *mark) { munmap(mark, sizeof *mark); }

void wcl_mark_enter(wcl_mark *mark, uint64_t what) {
  __atomic_store_n(&mark->runs, mark->runs + 1, __ATOMIC_RELAXED);
  __atomic_store_n(&mark->what, what, __ATOMIC_RELEASE);
}

void wcl_mark_leave(wcl_mark *mark) { __atomic_store_n(&mark->what, 0, __ATOMIC_RELEASE); }

void wcl_mark_read(const wcl_mark *mark, uint64_t *what, uint64_t *runs) {
  *what = __atomic_load_n(&mark->what, __ATOMIC_ACQUIRE);
  *runs = __atomic_load_n(&mark->runs, __ATOMIC_RELAXED);
}

int64_t wcl_process_cpu_nanoseconds(pid_t process) {
  clockid_t clock;
  struct timespec time;
  int error = clock_getcpuclockid(process, &clock);
  if (error) return -error;
  if (clock_gettime(clock, &time) != 0) return -errno;
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}
