// The first process of an emulated machine: runs /check-kernels on /cases, with what it says going to
// the console, says its exit status and switches the machine off. Linked statically; needs no root file
// system beyond these two files.
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

int main() {
  mkdir("/dev", 0755);
  mount("dev", "/dev", "devtmpfs", 0, nullptr);
  const int console = open("/dev/console", O_RDWR);
  for (int i = 0; console >= 0 && i < 3; ++i) dup2(console, i);

  int status = 127 << 8;
  const pid_t child = fork();
  if (child == 0) {
    execl("/check-kernels", "check-kernels", "--model", "/cases", nullptr);
    perror("/check-kernels");
    _exit(127);
  }
  if (child > 0) waitpid(child, &status, 0);
  if (WIFEXITED(status)) {
    printf("check-kernels: exit status %d\n", WEXITSTATUS(status));
  } else {
    printf("check-kernels: killed by signal %d\n", WTERMSIG(status));
  }
  fflush(stdout);
  tcdrain(STDOUT_FILENO);
  sync();
  reboot(RB_POWER_OFF);
}
