// The system calls of common/base/file_calls.h on the thread's simulated disk. UseDisk stands here
// so that whoever uses a simulated disk links this object, which defines every symbol of
// common/base/file_calls.cpp; the linker then has no need of that one. Should one be missing here,
// it takes that object too and reports all the others as defined twice.

#include "common/base/file_calls.h"

#include <cerrno>
#include <memory>

#include "tests/simulation/disk/simulated_disk.h"

namespace consilium::simulation {
namespace {

thread_local SimulatedDisk* current_disk = nullptr;

}  // namespace

UseDisk::UseDisk(SimulatedDisk& disk) : before_(current_disk) { current_disk = &disk; }

UseDisk::~UseDisk() { current_disk = before_; }

SimulatedDisk* UseDisk::current() { return current_disk; }

}  // namespace consilium::simulation

namespace consilium::file_calls {
namespace {

// Calls it on the disk in use; without one, nothing is there.
template <class Call>
auto OnDisk(const Call& call) -> decltype(call(*simulation::UseDisk::current())) {
  simulation::SimulatedDisk* disk = simulation::UseDisk::current();
  const auto result = disk == nullptr ? -ENOENT : call(*disk);
  if (result >= 0) return result;
  errno = static_cast<int>(-result);
  return -1;
}

}  // namespace

int Open(const char* path, int flags, mode_t mode) {
  return OnDisk([&](auto& disk) { return disk.Open(path, flags, mode); });
}

int Close(int descriptor) {
  return OnDisk([&](auto& disk) {
    disk.Close(descriptor);
    return 0;
  });
}

ssize_t ReadAt(int descriptor, void* out, std::size_t bytes, std::uint64_t offset) {
  return OnDisk([&](auto& disk) { return disk.ReadAt(descriptor, out, bytes, offset); });
}

ssize_t WriteAt(int descriptor, const void* from, std::size_t bytes, std::uint64_t offset) {
  return OnDisk([&](auto& disk) { return disk.WriteAt(descriptor, from, bytes, offset); });
}

int Resize(int descriptor, std::uint64_t bytes) {
  return OnDisk([&](auto& disk) { return disk.Resize(descriptor, bytes); });
}

int Sync(int descriptor) {
  return OnDisk([&](auto& disk) { return disk.Sync(descriptor); });
}

int SyncAll(int descriptor) {
  return OnDisk([&](auto& disk) { return disk.SyncAll(descriptor); });
}

int SetMode(int descriptor, mode_t mode) {
  return OnDisk([&](auto& disk) { return disk.SetMode(descriptor, mode); });
}

int Lock(int descriptor) {
  return OnDisk([&](auto& disk) { return disk.Lock(descriptor); });
}

int Look(int descriptor, struct stat* about) {
  return OnDisk([&](auto& disk) { return disk.Look(descriptor, about); });
}

int Look(const char* path, struct stat* about) {
  return OnDisk([&](auto& disk) { return disk.Look(path, about); });
}

int Rename(const char* from, const char* to) {
  return OnDisk([&](auto& disk) { return disk.Rename(from, to); });
}

int Remove(const char* path) {
  return OnDisk([&](auto& disk) { return disk.Remove(path); });
}

int MakeFolder(const char* path, mode_t mode) {
  return OnDisk([&](auto& disk) { return disk.MakeFolder(path, mode); });
}

int List(const char* path, std::vector<std::string>* names) {
  return OnDisk([&](auto& disk) { return disk.List(path, names); });
}

// A copy: who maps a file here does not see what is written to it later.
const void* Map(int descriptor, std::size_t bytes) {
  auto copy = std::make_unique<std::uint8_t[]>(bytes);
  for (std::size_t at = 0; at < bytes;) {
    const ssize_t n = ReadAt(descriptor, copy.get() + at, bytes - at, at);
    if (n < 0) return nullptr;
    if (n == 0) break;
    at += static_cast<std::size_t>(n);
  }
  return copy.release();
}

void Unmap(const void* data, std::size_t) { delete[] static_cast<const std::uint8_t*>(data); }

std::string UniqueName() {
  simulation::SimulatedDisk* disk = simulation::UseDisk::current();
  return disk == nullptr ? "0" : disk->UniqueName();
}

}  // namespace consilium::file_calls
