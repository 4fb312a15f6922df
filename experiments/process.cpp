#include "experiments/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <thread>

#include "common/base/progress.h"
#include "common/base/random.h"

extern char** environ;

namespace consilium::experiments {
namespace {

using std::chrono::steady_clock;

std::string QuotedForShell(const std::string& word) {
  const bool plain = !word.empty() && word.find_first_not_of(
                                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789-_./:=,+@%") == std::string::npos;
  if (plain) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> Environment(const std::map<std::string, std::string>& added) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!added.contains(text.substr(0, text.find('=')))) result.push_back(text);
  }
  for (const auto& [name, value] : added) result.push_back(name + "=" + value);
  return result;
}

absl::StatusOr<int> OpenOutput(const fs::path& path) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return absl::InternalError(StrCat("cannot write ", path.string(), ": ", strerror(errno)));
  }
  return descriptor;
}

// A descriptor that is closed at the end of its block.
struct Closing {
  int descriptor = -1;
  ~Closing() {
    if (descriptor >= 0) close(descriptor);
  }
};

// Between fork and exec: async-signal-safe calls only.
[[noreturn]] void BecomeChild(char* const* argv, char* const* envp, int input, int output,
                              int errors, int failure_pipe, pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  for (const int signal_number : {SIGINT, SIGTERM, SIGPIPE, SIGCHLD, SIGHUP}) {
    signal(signal_number, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(input, STDIN_FILENO);
  if (output >= 0) dup2(output, STDOUT_FILENO);
  if (errors >= 0) dup2(errors, STDERR_FILENO);
  execvpe(argv[0], argv, envp);
  const int why = errno;
  [[maybe_unused]] const ssize_t written = write(failure_pipe, &why, sizeof why);
  _exit(127);
}

ExitState StateFrom(int status) {
  if (WIFSIGNALED(status)) return {128 + WTERMSIG(status), WTERMSIG(status)};
  return {WEXITSTATUS(status), 0};
}

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

bool CanBind(int port) {
  const Closing socket_{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  const int on = 1;
  setsockopt(socket_.descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = Loopback(port);
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  return bind(socket_.descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

std::string Command::ToString() const {
  std::string text;
  for (const auto& [name, value] : environment) text += name + "=" + QuotedForShell(value) + " ";
  text += QuotedForShell(program);
  for (const std::string& argument : arguments) text += " " + QuotedForShell(argument);
  return text;
}

std::string ExitState::ToString() const {
  if (signal == 0) return StrCat("exited with ", code);
  return StrCat("was ended by signal ", signal, " (", strsignal(signal), ")");
}

absl::StatusOr<Process> Process::Start(const Command& command) {
  std::vector<std::string> words = {command.program};
  words.insert(words.end(), command.arguments.begin(), command.arguments.end());
  std::vector<std::string> variables = Environment(command.environment);
  const std::vector<char*> argv = Pointers(words), envp = Pointers(variables);

  Closing input{open("/dev/null", O_RDONLY | O_CLOEXEC)}, output, errors;
  if (!command.output.empty()) {
    ASSIGN_OR_RETURN(output.descriptor, OpenOutput(command.output));
  }
  if (!command.errors.empty()) {
    ASSIGN_OR_RETURN(errors.descriptor, OpenOutput(command.errors));
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return absl::ResourceExhaustedError(StrCat("no pipe: ", strerror(errno)));
  }
  Closing read_end{ends[0]}, write_end{ends[1]};

  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return absl::ResourceExhaustedError(StrCat("no new process: ", strerror(errno)));
  if (pid == 0) {
    BecomeChild(argv.data(), envp.data(), input.descriptor, output.descriptor, errors.descriptor,
                write_end.descriptor, parent);
  }
  setpgid(pid, pid);  // also here: whichever of the two comes first
  close(std::exchange(write_end.descriptor, -1));
  int why = 0;
  if (read(read_end.descriptor, &why, sizeof why) == sizeof why) {
    waitpid(pid, nullptr, 0);
    const std::string message = StrCat("cannot start ", command.program, ": ", strerror(why));
    return why == ENOENT ? absl::NotFoundError(message) : absl::InternalError(message);
  }
  return Process(pid, static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      ended_(other.ended_) {}

Process& Process::operator=(Process&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(ended_, other.ended_);
  return *this;
}

Process::~Process() {
  if (pid_ > 0) End();
  if (descriptor_ >= 0) close(descriptor_);
}

std::optional<ExitState> Process::Poll() {
  if (ended_) return ended_;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == pid_) ended_ = StateFrom(status);
  return ended_;
}

absl::StatusOr<ExitState> Process::Wait(std::optional<Duration> limit) {
  const auto until = steady_clock::now() + limit.value_or(Duration::zero());
  while (!Poll()) {
    if (Interrupted()) return absl::CancelledError("interrupted");
    int wait_ms = -1;
    if (limit) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - steady_clock::now());
      if (left.count() <= 0) return absl::DeadlineExceededError("it is still running");
      wait_ms = static_cast<int>(std::min<std::int64_t>(left.count(), 3'600'000));
    }
    pollfd watched[] = {{descriptor_, POLLIN, 0}, {InterruptDescriptor(), POLLIN, 0}};
    if (descriptor_ < 0) wait_ms = 20;  // a kernel before 5.3 has no pidfd_open(2)
    poll(watched, 2, wait_ms);
  }
  return *ended_;
}

void Process::Signal(int signal) {
  if (!Poll()) kill(-pid_, signal);
}

ExitState Process::End(Duration grace) {
  Signal(SIGTERM);
  const auto until = steady_clock::now() + grace;
  while (!Poll() && steady_clock::now() < until) {
    pollfd watched = {descriptor_, POLLIN, 0};
    poll(&watched, 1, 20);
  }
  if (!Poll()) {
    kill(-pid_, SIGKILL);
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    ended_ = StateFrom(status);
  }
  kill(-pid_, SIGKILL);  // what it may have started itself
  return *ended_;
}

std::uint64_t Process::PeakMemory() const {
  std::ifstream status(StrCat("/proc/", pid_, "/status"));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  }
  return 0;
}

absl::StatusOr<ExitState> Run(const Command& command, std::optional<Duration> limit) {
  ASSIGN_OR_RETURN(Process process, Process::Start(command));
  return process.Wait(limit);
}

std::string Tail(const fs::path& file, int lines) {
  const absl::StatusOr<std::string> text = ReadTextFile(file);
  if (!text.ok()) return "";
  std::size_t begin = text->size();
  if (begin > 0 && text->back() == '\n') --begin;
  for (int i = 0; i < lines && begin != 0 && begin != std::string::npos; ++i) {
    begin = text->rfind('\n', begin - 1);
  }
  return begin == std::string::npos ? *text : text->substr(begin == 0 ? 0 : begin + 1);
}

int UsableCores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

fs::path ProgramFolder() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path();
}

absl::StatusOr<int> FreePort() {
  SystemRandom system;
  std::uint8_t seed[8];
  system.Fill(seed);
  SeededRandom random(LoadLe64(seed));
  for (int i = 0; i < 200; ++i) {
    const int port = 20000 + static_cast<int>(random.Below(12000));
    if (CanBind(port) && !PortAnswers(port)) return port;
  }
  return absl::UnavailableError("no free TCP port between 20000 and 31999 on this machine");
}

bool PortAnswers(int port) {
  const Closing socket_{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  const sockaddr_in address = Loopback(port);
  return connect(socket_.descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
         0;
}

}  // namespace consilium::experiments
