#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"

namespace consilium {

namespace fs = std::filesystem;

struct FileInfo {
  bool regular = false;  // neither a folder nor a device
  unsigned mode = 0;     // the permission bits
  std::uint64_t size = 0;
};

// An open file descriptor. Move-only; closes when it goes. Errors carry the file's name (not its
// folder) and what the system said. ENOSPC, EDQUOT and EFBIG become kResourceExhausted, ENOENT
// kNotFound.
class File {
 public:
  static absl::StatusOr<File> OpenForReading(const fs::path& path);
  // Creates it (mode 0600) or opens it as it is, for reading and writing.
  static absl::StatusOr<File> OpenForWriting(const fs::path& path, bool truncate);
  // Takes over a descriptor that somebody else opened; `name` is for errors.
  static File Adopt(int descriptor, std::string name) { return File(descriptor, std::move(name)); }

  File() = default;
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  int descriptor() const { return descriptor_; }
  absl::StatusOr<std::uint64_t> Size() const;
  absl::StatusOr<FileInfo> Info() const;
  // Fills all of `out`, or fails (kDataLoss when the file ends before).
  absl::Status ReadAt(std::uint64_t offset, std::span<std::uint8_t> out) const;
  absl::Status WriteAt(std::uint64_t offset, ByteView bytes);
  absl::Status Truncate(std::uint64_t size);
  absl::Status Sync();  // fsync(2)

 private:
  File(int descriptor, std::string name) : descriptor_(descriptor), name_(std::move(name)) {}
  int descriptor_ = -1;
  std::string name_;
};

absl::StatusOr<std::string> ReadTextFile(const fs::path& path,
                                         std::uint64_t limit_bytes = 64 << 20);
absl::StatusOr<Bytes> ReadFile(const fs::path& path, std::uint64_t limit_bytes = 4ull << 30);

// A name beside `path` that no other thread or process has: PATH.UNIQUE.tmp. What is found by such
// a name at a start was left by a process that was killed.
fs::path TemporaryBeside(const fs::path& path);

// Either the whole new content is there after a crash, or the old: writes beside the target,
// fsyncs, renames, fsyncs the folder. Mode 0600 unless `mode` says otherwise.
absl::Status WriteFileDurably(const fs::path& path, ByteView content, unsigned mode = 0600);
inline absl::Status WriteFileDurably(const fs::path& path, std::string_view text,
                                     unsigned mode = 0600) {
  return WriteFileDurably(path, AsBytes(text), mode);
}

// Renames an fsynced temporary file into place and fsyncs the folder.
absl::Status RenameDurably(const fs::path& from, const fs::path& to);

// Makes the folder (0700) and its parents when missing, durably.
absl::Status EnsureFolder(const fs::path& path);

// Makes durable which names are in the folder: a new file is there after a power loss once it and
// its folder are synced.
absl::Status SyncFolder(const fs::path& folder);

// Makes an empty file (0600) unless something of that name is there, which is then not opened.
// True: it was made. Not durable until its folder is synced.
absl::StatusOr<bool> MakeEmptyFile(const fs::path& path);

// False also when it cannot be looked at.
bool Exists(const fs::path& path);
// kNotFound when nothing is there.
absl::StatusOr<std::uint64_t> FileSize(const fs::path& path);
// A file or an empty folder; nothing there is OK. Not durable: after a power loss it may be back.
absl::Status Remove(const fs::path& path);
// The same of a folder and all that is in it.
absl::Status RemoveTree(const fs::path& path);
// Not durable: after a power loss the file may have either name. See RenameDurably.
absl::Status Rename(const fs::path& from, const fs::path& to);

struct FolderEntry {
  fs::path path;
  bool folder = false;
  std::uint64_t size = 0;  // of a file
  Time modified{};
};
// What is in a folder, by name. kNotFound when it is not there.
absl::StatusOr<std::vector<FolderEntry>> ListFolder(const fs::path& path);

// Holds FOLDER/lock (flock(2)) for as long as it lives, so that one process at a time owns a state
// folder. What the one before wrote is durable then, also what it was killed before syncing: nobody
// builds on a file that a loss of power can still take away.
class FolderLock {
 public:
  static absl::StatusOr<FolderLock> Acquire(const fs::path& folder);

 private:
  explicit FolderLock(File file) : file_(std::move(file)) {}
  File file_;
};

// A read-only memory map of a whole file. Move-only.
class MappedFile {
 public:
  static absl::StatusOr<MappedFile> Open(const fs::path& path);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();
  ByteView bytes() const { return {data_, size_}; }

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace consilium
