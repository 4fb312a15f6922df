#include "common/base/file_calls.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <string_view>

#include "common/base/text.h"

namespace consilium::file_calls {

int Open(const char* path, int flags, mode_t mode) { return open(path, flags | O_CLOEXEC, mode); }

int Close(int descriptor) { return close(descriptor); }

ssize_t ReadAt(int descriptor, void* out, std::size_t bytes, std::uint64_t offset) {
  return pread(descriptor, out, bytes, static_cast<off_t>(offset));
}

ssize_t WriteAt(int descriptor, const void* from, std::size_t bytes, std::uint64_t offset) {
  return pwrite(descriptor, from, bytes, static_cast<off_t>(offset));
}

int Resize(int descriptor, std::uint64_t bytes) {
  return ftruncate(descriptor, static_cast<off_t>(bytes));
}

int Sync(int descriptor) { return fsync(descriptor); }

int SyncAll(int descriptor) { return syncfs(descriptor); }

int SetMode(int descriptor, mode_t mode) { return fchmod(descriptor, mode); }

int Lock(int descriptor) { return flock(descriptor, LOCK_EX | LOCK_NB); }

int Look(int descriptor, struct stat* about) { return fstat(descriptor, about); }

int Look(const char* path, struct stat* about) { return stat(path, about); }

int Rename(const char* from, const char* to) { return rename(from, to); }

int Remove(const char* path) { return remove(path); }

int MakeFolder(const char* path, mode_t mode) { return mkdir(path, mode); }

int List(const char* path, std::vector<std::string>* names) {
  DIR* folder = opendir(path);
  if (folder == nullptr) return -1;
  errno = 0;
  while (const dirent* entry = readdir(folder)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names->emplace_back(name);
  }
  const int error = errno;
  closedir(folder);
  errno = error;
  return error == 0 ? 0 : -1;
}

const void* Map(int descriptor, std::size_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
  return data == MAP_FAILED ? nullptr : data;
}

void Unmap(const void* data, std::size_t bytes) { munmap(const_cast<void*>(data), bytes); }

std::string UniqueName() {
  static std::atomic<unsigned> number{0};
  return StrCat(getpid(), ".", number++);
}

}  // namespace consilium::file_calls
