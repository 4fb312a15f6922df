#include "datasets/worker/sandbox.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <memory>

#include "common/base/status.h"
#include "datasets/worker/protocol.h"

namespace consilium::datasets::worker {
namespace {

constexpr rlim_t kSpareDescriptors = 32;

absl::Status Failed(std::string_view what, int error) {
  return absl::FailedPreconditionError(
      StrCat("the sandbox cannot be set up: ", what, ": ", std::strerror(error)));
}

absl::Status Limit(int resource, std::uint64_t most, std::string_view name) {
  const rlimit limit{most, most};
  if (setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) return Failed(name, errno);
  return absl::OkStatus();
}

// What reading a descriptor, computing and answering needs; malloc, exceptions and abort included.
constexpr int kAllowed[] = {
    SCMP_SYS(read),         SCMP_SYS(pread64),       SCMP_SYS(lseek),
    SCMP_SYS(fstat),        SCMP_SYS(close),         SCMP_SYS(munmap),
    SCMP_SYS(mremap),       SCMP_SYS(madvise),       SCMP_SYS(brk),
    SCMP_SYS(futex),        SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
    SCMP_SYS(exit),         SCMP_SYS(exit_group),    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn),  SCMP_SYS(getpid),
    SCMP_SYS(gettid),       SCMP_SYS(getrandom),     SCMP_SYS(restart_syscall),
};

class Filter {
 public:
  Filter() : context_(seccomp_init(SCMP_ACT_KILL_PROCESS), seccomp_release) {}

  void Allow(int call, std::initializer_list<scmp_arg_cmp> conditions = {}) {
    if (error_ != 0) return;
    if (!context_) {
      error_ = -ENOMEM;
      return;
    }
    error_ = seccomp_rule_add_array(context_.get(), SCMP_ACT_ALLOW, call,
                                    static_cast<unsigned>(conditions.size()), conditions.begin());
  }
  int Load() {
    if (error_ == 0) error_ = seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (error_ == 0) error_ = seccomp_load(context_.get());
    return -error_;
  }

 private:
  std::unique_ptr<void, void (*)(scmp_filter_ctx)> context_;
  int error_ = 0;
};

absl::Status AllowOnlyReading(int socket) {
  const auto fd = static_cast<scmp_datum_t>(socket);
  const auto self = static_cast<scmp_datum_t>(getpid());
  Filter filter;
  for (const int call : kAllowed) filter.Allow(call);
  filter.Allow(SCMP_SYS(recvmsg), {SCMP_A0(SCMP_CMP_EQ, fd)});
  filter.Allow(SCMP_SYS(write), {SCMP_A0(SCMP_CMP_EQ, fd)});
  // What the C library says before it aborts goes to /dev/null.
  filter.Allow(SCMP_SYS(write), {SCMP_A0(SCMP_CMP_EQ, STDERR_FILENO)});
  filter.Allow(SCMP_SYS(writev), {SCMP_A0(SCMP_CMP_EQ, STDERR_FILENO)});
  // Memory that is never executable.
  filter.Allow(SCMP_SYS(mmap), {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)});
  filter.Allow(SCMP_SYS(mprotect), {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)});
  // fstat(2) as the C library calls it.
  filter.Allow(SCMP_SYS(newfstatat), {SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH)});
  // abort(3): signals to itself.
  filter.Allow(SCMP_SYS(tgkill), {SCMP_A0(SCMP_CMP_EQ, self)});
  const int error = filter.Load();
  return error == 0 ? absl::OkStatus() : Failed("seccomp", error);
}

}  // namespace

absl::Status EnterSandbox(int socket, const SandboxLimits& limits) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Failed("no_new_privs", errno);
  RETURN_IF_ERROR(Limit(RLIMIT_CORE, 0, "core files"));
  RETURN_IF_ERROR(Limit(RLIMIT_NOFILE, kMostDescriptors + kSpareDescriptors, "descriptors"));
  RETURN_IF_ERROR(Limit(RLIMIT_CPU, limits.cpu_seconds, "processor time"));
  if (!kSandboxed) return absl::OkStatus();
  RETURN_IF_ERROR(Limit(RLIMIT_AS, limits.memory_bytes, "memory"));
  return AllowOnlyReading(socket);
}

}  // namespace consilium::datasets::worker
