#include "datasets/worker/serve.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <optional>

#include "common/base/allocator.h"
#include "common/base/status.h"
#include "datasets/worker/out_of_memory.h"
#include "datasets/worker/protocol.h"
#include "datasets/worker/sandbox.h"

namespace consilium::datasets::worker {
namespace {

// Replies are sent when there are so many bytes of them, and at the end of a request.
constexpr std::size_t kReplyBufferBytes = 64 << 10;

bool SendAll(ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(kWorkerSocket, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

// One recvmsg(2): some bytes of `out`, and descriptors that come with them. False: the pool hung
// up.
bool Receive(std::span<std::uint8_t>* out, std::vector<File>* files) {
  iovec bytes{out->data(), out->size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kDescriptorsTogether * sizeof(int))];
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n = -1;
  do {
    n = recvmsg(kWorkerSocket, &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); n > 0 && c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(c) + i * sizeof(int), sizeof descriptor);
      files->push_back(File::Adopt(descriptor, "the file"));
    }
  }
  if (n <= 0 || (message.msg_flags & MSG_CTRUNC) != 0) return false;
  *out = out->subspan(static_cast<std::size_t>(n));
  return true;
}

bool ReceiveAll(std::span<std::uint8_t> out, std::vector<File>* files) {
  while (!out.empty()) {
    if (!Receive(&out, files)) return false;
  }
  return true;
}

struct Request {
  RequestHead head;
  Bytes name, arguments;
  std::vector<File> files;
};

// Nothing: the pool hung up, or speaks another language.
std::optional<Request> ReceiveRequest() {
  std::uint8_t bytes[kRequestHeadBytes];
  Request request;
  if (!ReceiveAll(bytes, &request.files)) return std::nullopt;
  const auto head = LoadRequestHead(bytes);
  if (!head) return std::nullopt;
  request.head = *head;
  while (request.files.size() < head->descriptors()) {
    std::uint8_t filler = 0;
    const std::size_t before = request.files.size();
    if (!ReceiveAll({&filler, 1}, &request.files)) return std::nullopt;
    if (request.files.size() == before) return std::nullopt;
  }
  request.name.resize(head->name_size);
  request.arguments.resize(head->arguments_size);
  const bool received =
      ReceiveAll(request.name, &request.files) && ReceiveAll(request.arguments, &request.files);
  if (!received || request.files.size() != head->descriptors()) return std::nullopt;
  return request;
}

bool Answer(const Operations& operations, Request request) {
  const Operation* operation = operations.Find(AsText(request.name));
  Bytes replies;
  auto file = request.files.begin();
  for (std::uint32_t call = 0; call < request.head.calls; ++call) {
    std::vector<File> files;
    for (std::uint32_t i = 0; i < request.head.files_per_call; ++i) {
      files.push_back(std::move(*file++));
    }
    const OrRefused<Bytes> reply =
        operation == nullptr ? Refused{Refusal::kUnreadable, StrCat("this worker does not know \"",
                                                                    AsText(request.name), "\"")}
                             : (*operation)(request.arguments, std::move(files));
    AppendReply(reply, &replies);
    if (replies.size() < kReplyBufferBytes) continue;
    if (!SendAll(replies)) return false;
    replies.clear();
  }
  return SendAll(replies);
}

bool Parse(const char* text, std::uint64_t* number) {
  const char* end = text + std::strlen(text);
  return std::from_chars(text, end, *number).ptr == end && end != text;
}

// What must be done before the first byte of a file is read.
absl::Status Prepare(const Operations& operations, pid_t parent, const SandboxLimits& limits) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
    return absl::UnavailableError("the program that started this worker is gone");
  }
  if (close_range(kWorkerSocket + 1, ~0u, 0) != 0) {
    return absl::FailedPreconditionError("descriptors of others cannot be closed");
  }
  signal(SIGPIPE, SIG_IGN);
  operations.WarmUp();
  EndWhenOutOfMemory();
  return EnterSandbox(kWorkerSocket, limits);
}

}  // namespace

int ServeMain(int argc, char** argv, const Operations& operations) {
  std::uint64_t parent = 0;
  SandboxLimits limits;
  const bool started_by_pool = argc == 4 && Parse(argv[1], &parent) &&
                               Parse(argv[2], &limits.memory_bytes) &&
                               Parse(argv[3], &limits.cpu_seconds);
  if (!started_by_pool) {
    std::fprintf(stderr,
                 "Reads image files in a sandbox for consilium-dataset and consilium-site, which "
                 "start it themselves.\n");
    return 2;
  }
  KeepFreedMemory();
  const absl::Status prepared = Prepare(operations, static_cast<pid_t>(parent), limits);
  Bytes ready;
  if (prepared.ok()) {
    const std::string words = Ready(kSandboxed);
    AppendReply(Bytes(words.begin(), words.end()), &ready);
  } else {
    AppendReply(Refused{Refusal::kUnreadable, std::string(ToStd(prepared.message()))}, &ready);
  }
  if (!SendAll(ready) || !prepared.ok()) return 1;
  while (auto request = ReceiveRequest()) {
    if (!Answer(operations, *std::move(request))) break;
  }
  _exit(0);  // nothing is left to be done, and destructors are not worth the calls they make
}

}  // namespace consilium::datasets::worker
