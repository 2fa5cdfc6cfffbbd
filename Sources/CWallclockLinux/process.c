#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "CWallclockLinux.h"

extern char **environ;

static void become(const char *command, int input, int output, int report, pid_t parent) {
  // A group of its own, so that a shell and what it starts are stopped and ended together.
  setpgid(0, 0);
  // Should the parent be killed, this one ends with it; it may have died before this was asked for.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  for (int number = 1; number < 32; number++) signal(number, SIG_DFL);
  char *arguments[] = {"sh", "-c", (char *)command, NULL};
  if (dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0) execve("/bin/sh", arguments, environ);
  int error = errno;
  ssize_t ignored = write(report, &error, sizeof error);
  (void)ignored;
  _exit(127);
}

pid_t wcl_spawn_shell(const char *command, int *to, int *from) {
  // Pipe ends numbered 0 or 1 would be overwritten by the child's dup2; a process without standard
  // streams is the only one to get them.
  int in[2] = {-1, -1}, out[2] = {-1, -1}, report[2] = {-1, -1};
  int error = 0;
  pid_t child = -1;
  if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(report, O_CLOEXEC)) {
    error = errno;
  } else if (in[0] < 3 || out[1] < 3 || report[1] < 3) {
    error = EBADF;
  } else {
    pid_t parent = getpid();
    child = fork();
    if (child == 0) become(command, in[0], out[1], report[1], parent);
    if (child < 0) error = errno;
  }
  if (child > 0) {
    // Both set it: whichever comes first, the group is there before the first signal to it.
    setpgid(child, child);
    close(report[1]);
    report[1] = -1;
    while (read(report[0], &error, sizeof error) < 0 && errno == EINTR) {}
    if (error) waitpid(child, NULL, 0);
  }
  int unused[] = {in[0], out[1], report[0], report[1], error ? in[1] : -1, error ? out[0] : -1};
  for (size_t i = 0; i < sizeof unused / sizeof *unused; i++) {
    if (unused[i] >= 0) close(unused[i]);
  }
  if (error) return -error;
  *to = in[1];
  *from = out[0];
  return child;
}

int wcl_wait(pid_t child, int block, int *status) {
  pid_t done;
  do {
    done = waitpid(child, status, block ? 0 : WNOHANG);
  } while (done < 0 && errno == EINTR);
  return done < 0 ? -errno : done == child;
}

int wcl_exit_code(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }
int wcl_ending_signal(int status) { return WIFSIGNALED(status) ? WTERMSIG(status) : 0; }
