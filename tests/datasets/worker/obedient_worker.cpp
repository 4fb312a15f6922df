// A worker like consilium-image-worker, with operations of which each file says in its own words
// what happens: what a hostile file would make a reader do.

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>

#include "datasets/worker/operations.h"
#include "datasets/worker/protocol.h"
#include "datasets/worker/serve.h"
#include "dcmtk/config/osconfig.h"
// osconfig.h must come first.
#include "dcmtk/dcmdata/dcdict.h"
#include "dcmtk/dcmdata/dcfilefo.h"
#include "dcmtk/dcmdata/dcistrmb.h"

namespace consilium::datasets::worker {
namespace {

OrRefused<Bytes> ContentOf(const File& file) {
  const auto size = file.Size();
  if (!size.ok()) return Refused{Refusal::kUnreadable, ""};
  Bytes content(*size);
  if (!file.ReadAt(0, content).ok()) return Refused{Refusal::kUnreadable, ""};
  return content;
}

Bytes Says(std::string_view text) { return Bytes(text.begin(), text.end()); }

[[noreturn]] void Crash() {
  volatile int* nowhere = nullptr;
  *nowhere = 1;
  std::abort();
}

[[noreturn]] void Hang() {
  volatile bool forever = true;
  while (forever) {
  }
  std::abort();
}

void Allocate(std::size_t bytes) {
  auto* memory = new char[bytes];
  for (std::size_t i = 0; i < bytes; i += 4096) static_cast<volatile char*>(memory)[i] = 1;
  delete[] memory;
}

// To a depth that no stack has.
int Recurse(int depth) {
  volatile char frame[4096] = {static_cast<char>(depth)};
  return depth == 1 << 30 ? 0 : Recurse(depth + 1) + frame[depth & 4095];
}

void ReadMemoryOfParent() {
  char byte = 0;
  iovec here{&byte, 1}, there{reinterpret_cast<void*>(0x400000), 1};
  (void)!process_vm_readv(getppid(), &here, 1, &there, 1, 0);
}

void Execute() {
  char program[] = "/bin/true";
  char* words[] = {program, nullptr};
  execve(program, words, nullptr);
}

// A call that the sandbox must end the process for; it has not when this returns.
const std::map<std::string, void (*)()> kForbidden = {
    {"open a file", [] { (void)!open("/etc/hostname", O_RDONLY); }},
    {"make a file", [] { (void)!open("/tmp/made-by-a-worker", O_CREAT | O_WRONLY, 0600); }},
    {"look at a file",
     [] {
       struct stat about {};
       (void)!stat("/etc/hostname", &about);
     }},
    {"open a socket", [] { (void)!socket(AF_INET, SOCK_STREAM, 0); }},
    {"execute", Execute},
    {"fork", [] { (void)!fork(); }},
    {"kill its parent", [] { kill(getppid(), SIGTERM); }},
    {"trace its parent", [] { ptrace(PTRACE_ATTACH, getppid(), nullptr, nullptr); }},
    {"read its parent's memory", ReadMemoryOfParent},
    {"map code",
     [] { (void)!mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }},
    {"get another descriptor", [] { (void)!dup(kWorkerSocket); }},
};

OrRefused<Bytes> Obey(ByteView, std::vector<File> files) {
  const auto content = ContentOf(files.at(0));
  if (!content.ok()) return content.refused();
  const std::string order(AsText(*content));
  if (order == "crash") Crash();
  if (order == "abort") std::abort();
  if (order == "throw") throw std::runtime_error("thrown");
  if (order == "hang") Hang();
  if (order == "recurse") return Says(std::to_string(Recurse(0)));
  if (order == "allocate 4 GiB") Allocate(4ull << 30);
  if (order == "leave") _exit(5);
  if (order == "write to the file") {
    (void)!write(files[0].descriptor(), "x", 1);
  }
  if (order == "babble") {
    const Bytes noise(1 << 16, 0xff);
    (void)!write(kWorkerSocket, noise.data(), noise.size());
  }
  if (order == "a terminal's escape") return Refused{Refusal::kDamaged, "\x1b[2J\x9b"};
  if (order == "a long answer") return Bytes(1 << 20, 7);
  if (const auto found = kForbidden.find(order); found != kForbidden.end()) {
    found->second();
    return Says("it was allowed to");
  }
  return Says("read: " + order);
}

// All that DCMTK makes of a file, without our checks before it.
OrRefused<Bytes> ParseWithDcmtk(ByteView, std::vector<File> files) {
  auto content = ContentOf(files.at(0));
  if (!content.ok()) return content.refused();
  DcmInputBufferStream stream;
  stream.setBuffer(content->data(), static_cast<offile_off_t>(content->size()));
  stream.setEos();
  DcmFileFormat file;
  file.transferInit();
  const OFCondition read = file.read(stream);
  file.transferEnd();
  return Says(read.good() ? "good" : read.text());
}

OrRefused<Bytes> CountFiles(ByteView arguments, std::vector<File> files) {
  std::uint64_t bytes = 0;
  for (const File& file : files) bytes += *file.Size();
  return Says(std::to_string(files.size()) + " files of " + std::to_string(bytes) + " bytes, and " +
              std::to_string(arguments.size()) + " of arguments");
}

}  // namespace
}  // namespace consilium::datasets::worker

int main(int argc, char** argv) {
  using namespace consilium::datasets::worker;
  Operations operations;
  operations.Add("obey", Obey);
  operations.Add("dcmtk", ParseWithDcmtk, [] {
    dcmDataDict.rdlock();
    dcmDataDict.rdunlock();
  });
  operations.Add("count", CountFiles);
  return ServeMain(argc, argv, operations);
}
