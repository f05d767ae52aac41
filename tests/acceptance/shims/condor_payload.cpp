// What a starter does to run a payload as somebody else, by HTCondor's own switching of users, out of libcondor_utils
// of the PyPI wheel `htcondor`.
//
//   condor_payload USER DIRECTORY COMMAND [ARGUMENT...]
//
// As root: makes a sandbox in DIRECTORY as HTCondor's user, gives it to USER, runs COMMAND in it as USER for good,
// kills what it left behind, and removes the sandbox. The exit status is COMMAND's; 125 where one of the other steps
// failed.
// Configured by _CONDOR_* in the environment.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>

enum priv_state : int {};

void config();
void set_priv_initialize();
int can_switch_ids();
int init_user_ids(const char* user, const char* domain);
priv_state _set_priv(priv_state state, const char* file, int line, int log);
uid_t get_user_uid();
gid_t get_user_gid();

namespace {

constexpr auto kRoot = static_cast<priv_state>(1);
constexpr auto kCondor = static_cast<priv_state>(2);
constexpr auto kUserForGood = static_cast<priv_state>(5);
constexpr int kFailed = 125;

void Become(priv_state state) { _set_priv(state, __FILE__, __LINE__, 0); }

int Fail(const char* what) {
  perror(what);
  return kFailed;
}

int Run(const char* user, const std::string& sandbox, char** command) {
  Become(kCondor);
  if (mkdir(sandbox.c_str(), 0700) != 0) return Fail("mkdir");
  Become(kRoot);
  if (init_user_ids(user, nullptr) == 0) return Fail("init_user_ids");
  if (chown(sandbox.c_str(), get_user_uid(), get_user_gid()) != 0) return Fail("chown");
  const pid_t child = fork();
  if (child == 0) {
    setsid();
    Become(kUserForGood);
    if (chdir(sandbox.c_str()) != 0) _exit(Fail("chdir"));
    execv(command[0], command);
    _exit(Fail(command[0]));
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (kill(-child, SIGKILL) != 0 && errno != ESRCH) return Fail("kill");
  std::error_code error;
  std::filesystem::remove_all(sandbox, error);
  if (error) return Fail("remove");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return kFailed;
  set_priv_initialize();
  config();
  if (can_switch_ids() == 0) return Fail("can_switch_ids");
  const int status = Run(argv[1], std::string(argv[2]) + "/dir_" + std::to_string(getpid()), argv + 3);
  std::cout.flush();
  _exit(status);  // the destructors of the library's objects are not asked for
}
