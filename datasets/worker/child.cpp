#include "datasets/worker/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "common/base/status.h"
#include "datasets/worker/protocol.h"
#include "datasets/worker/serve.h"

namespace consilium::datasets::worker {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kStartLimit(30);
constexpr std::chrono::milliseconds kDeathLimit(2000);
constexpr std::size_t kReceiveBytes = 256 << 10;
// What a worker's libraries look for; nothing else of our environment is its business.
constexpr const char* kVariables[] = {"DCMDICTPATH", "ASAN_OPTIONS", "TSAN_OPTIONS",
                                      "UBSAN_OPTIONS"};

std::vector<std::string> Environment() {
  std::vector<std::string> environment;
  for (const char* name : kVariables) {
    if (const char* value = std::getenv(name)) environment.push_back(StrCat(name, "=", value));
  }
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Nothing but its end of the socket is handed on; its standard streams lead nowhere.
class FileActions {
 public:
  explicit FileActions(int socket) {
    posix_spawn_file_actions_init(&actions_);
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
      if (stream == STDERR_FILENO && !kSandboxed) continue;  // a sanitizer's report
      posix_spawn_file_actions_addopen(&actions_, stream, "/dev/null", O_RDWR, 0);
    }
    posix_spawn_file_actions_adddup2(&actions_, socket, kWorkerSocket);
  }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

// No signal that is blocked or ignored here is so there.
class SpawnAttributes {
 public:
  SpawnAttributes() {
    posix_spawnattr_init(&attributes_);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes_, &signals);
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attributes_, &signals);
    // Ctrl-C at the terminal is for us: we tell the workers when to end.
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(
        &attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  ~SpawnAttributes() { posix_spawnattr_destroy(&attributes_); }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;
  const posix_spawnattr_t* get() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

Refused Crashed(std::string detail) { return {Refusal::kCrashedReader, std::move(detail)}; }

Refused ReasonOf(int wait_status) {
  if (WIFEXITED(wait_status)) {
    if (WEXITSTATUS(wait_status) == kOutOfMemoryExit) {
      return {Refusal::kReaderNeededTooMuchMemory, ""};
    }
    return Crashed(StrCat("it ended with code ", WEXITSTATUS(wait_status)));
  }
  const int signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
  switch (signal) {
    case SIGXCPU:
      return {Refusal::kReaderTookTooLong, "processor time"};
    case SIGKILL:  // not ours
      return {Refusal::kReaderNeededTooMuchMemory,
              "the system ended it, as it does without memory"};
    case SIGSYS:
      return Crashed("it called what the sandbox forbids");
    default:
      return Crashed(StrCat("signal ", signal));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Child>> Child::Start(const fs::path& program,
                                                    const SandboxLimits& limits) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return absl::ResourceExhaustedError(StrCat("no socket for a worker: ", std::strerror(errno)));
  }
  File ours = File::Adopt(ends[0], "a worker's socket");
  File theirs = File::Adopt(ends[1], "a worker's socket");
  fcntl(ours.descriptor(), F_SETFL, O_NONBLOCK);
  std::vector<std::string> words = {program.string(), StrCat(getpid()), StrCat(limits.memory_bytes),
                                    StrCat(limits.cpu_seconds)};
  std::vector<std::string> environment = Environment();
  const FileActions actions(theirs.descriptor());
  const SpawnAttributes attributes;
  pid_t process = -1;
  const int error = posix_spawn(&process, program.c_str(), actions.get(), attributes.get(),
                                Pointers(words).data(), Pointers(environment).data());
  if (error != 0) {
    return absl::UnavailableError(StrCat("the program \"", program.filename().string(),
                                         "\" cannot be started: ", std::strerror(error)));
  }
  theirs = File();  // so that we see when the child hangs up
  std::unique_ptr<Child> child(new Child(process, std::move(ours)));
  RETURN_IF_ERROR(child->WaitUntilReady());
  return child;
}

Child::~Child() { End(); }

absl::Status Child::WaitUntilReady() {
  const Answer answer = Receive(1, kLongestDetail, steady_clock::now() + kStartLimit);
  const auto failed = [](std::string_view why) {
    return absl::FailedPreconditionError(
        StrCat("the worker that reads images cannot be used: ", why));
  };
  if (answer.death) {
    return failed(StrCat(Phrase(answer.death->reason), ": ", answer.death->detail));
  }
  const OrRefused<Bytes>& words = answer.replies.front();
  if (!words.ok()) return failed(words.refused().detail);
  sandboxed_ = AsText(*words) == Ready(true);
  if (sandboxed_ || (!kSandboxed && AsText(*words) == Ready(false))) return absl::OkStatus();
  return failed("it is of another version; install the programs together");
}

Answer Child::Ask(const Request& request, std::chrono::milliseconds time_limit) {
  CONSILIUM_CHECK(process_ > 0 && request.calls > 0);
  const SteadyTime start = steady_clock::now(), deadline = start + time_limit;
  calls_ += request.calls;
  Answer answer;
  answer.death = Send(request, deadline);
  if (!answer.death) answer = Receive(request.calls, request.largest_result, deadline);
  busy_ += steady_clock::now() - start;
  return answer;
}

bool Child::Idle() const {
  pollfd socket{socket_.descriptor(), POLLIN, 0};
  return process_ > 0 && poll(&socket, 1, 0) == 0;
}

std::optional<Refused> Child::Send(const Request& request, SteadyTime deadline) {
  const RequestHead head{
      .name_size = static_cast<std::uint32_t>(request.operation.size()),
      .calls = static_cast<std::uint32_t>(request.calls),
      .files_per_call = static_cast<std::uint32_t>(request.files.size() / request.calls),
      .arguments_size = request.arguments.size()};
  CONSILIUM_CHECK(request.files.size() == head.descriptors());
  Bytes bytes(kRequestHeadBytes);
  Store(head, bytes.data());
  CONSILIUM_CHECK(LoadRequestHead(bytes.data()).has_value());
  std::span<const File> files = request.files;
  for (bool first = true; first || !files.empty(); first = false) {
    const auto now = files.first(std::min<std::size_t>(files.size(), kDescriptorsTogether));
    static constexpr std::uint8_t kFiller[] = {0};
    if (auto died = SendDescriptors(first ? ByteView(bytes) : kFiller, now, deadline)) return died;
    files = files.subspan(now.size());
  }
  bytes.assign(request.operation.begin(), request.operation.end());
  if (auto died = SendBytes(bytes, deadline)) return died;
  return SendBytes(request.arguments, deadline);
}

std::optional<Refused> Child::SendDescriptors(ByteView bytes, std::span<const File> files,
                                              SteadyTime deadline) {
  iovec data{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kDescriptorsTogether * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (!files.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(files.size() * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(files.size() * sizeof(int));
    for (std::size_t i = 0; i < files.size(); ++i) {
      const int descriptor = files[i].descriptor();
      std::memcpy(CMSG_DATA(rights) + i * sizeof(int), &descriptor, sizeof descriptor);
    }
  }
  while (true) {
    const ssize_t n = sendmsg(socket_.descriptor(), &message, MSG_NOSIGNAL);
    // A few bytes go whole or not at all; the rest of them would go without descriptors.
    if (n > 0) return SendBytes(bytes.subspan(static_cast<std::size_t>(n)), deadline);
    // ETOOMANYREFS: too many descriptors of ours are on their way at once, in all workers.
    if (errno == ETOOMANYREFS) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const bool again = errno == EAGAIN || errno == EINTR || errno == ETOOMANYREFS;
    if (!again) return Gone();
    if (!Await(POLLOUT, deadline)) return Overdue();
  }
}

std::optional<Refused> Child::SendBytes(ByteView bytes, SteadyTime deadline) {
  while (!bytes.empty()) {
    const ssize_t n = send(socket_.descriptor(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    } else if (errno != EAGAIN && errno != EINTR) {
      return Gone();
    } else if (!Await(POLLOUT, deadline)) {
      return Overdue();
    }
  }
  return std::nullopt;
}

Answer Child::Receive(std::size_t replies, std::uint64_t largest, SteadyTime deadline) {
  ReplyParser parser(replies, largest);
  std::optional<Refused> death;
  buffer_.resize(kReceiveBytes);
  while (!parser.Complete() && !death) {
    const ssize_t n = recv(socket_.descriptor(), buffer_.data(), buffer_.size(), 0);
    if (n > 0) {
      if (!parser.Feed(ByteView(buffer_).first(static_cast<std::size_t>(n)))) {
        End();
        death = Crashed("its answer keeps to no protocol");
      }
    } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
      if (!Await(POLLIN, deadline)) death = Overdue();
    } else {
      death = Gone();
    }
  }
  return {std::move(parser.replies()), std::move(death)};
}

bool Child::Await(short events, SteadyTime deadline) const {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd socket{socket_.descriptor(), events, 0};
    const int most = static_cast<int>(std::min<std::int64_t>(left.count(), 1 << 20));
    if (poll(&socket, 1, most) > 0) return true;
  }
}

Refused Child::Overdue() {
  End();
  return {Refusal::kReaderTookTooLong, ""};
}

Refused Child::Gone() {
  // It may have hung up and live on.
  const SteadyTime deadline = steady_clock::now() + kDeathLimit;
  for (auto pause = std::chrono::microseconds(50); steady_clock::now() < deadline; pause *= 2) {
    int status = 0;
    if (waitpid(process_, &status, WNOHANG) == process_) {
      process_ = -1;
      return ReasonOf(status);
    }
    std::this_thread::sleep_for(std::min(pause, std::chrono::microseconds(20'000)));
  }
  End();
  return Crashed("it hung up");
}

void Child::End() {
  if (process_ < 0) return;
  kill(process_, SIGKILL);
  while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
  }
  process_ = -1;
}

}  // namespace consilium::datasets::worker
