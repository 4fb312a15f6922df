#include "common/base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/status.h"

namespace consilium {
namespace {

absl::Status SystemError(std::string_view doing, std::string_view name) {
  const int error = errno;
  const std::string message = StrCat(doing, " ", name, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(message);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(StrCat(message, "; free some space and start again"));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::Status SyncFolder(const fs::path& folder) {
  const fs::path path = folder.empty() ? fs::path(".") : folder;
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return SystemError("opening the folder", path.filename().string());
  const int result = fsync(fd);
  close(fd);
  if (result != 0) return SystemError("syncing the folder", path.filename().string());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<File> File::OpenForReading(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return SystemError("opening", path.filename().string());
  return File(fd, path.filename().string());
}

absl::StatusOr<File> File::OpenForWriting(const fs::path& path, bool truncate) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | (truncate ? O_TRUNC : 0), 0600);
  if (fd < 0) return SystemError("opening", path.filename().string());
  return File(fd, path.filename().string());
}

File::File(File&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), name_(std::move(other.name_)) {}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    if (descriptor_ >= 0) close(descriptor_);
    descriptor_ = std::exchange(other.descriptor_, -1);
    name_ = std::move(other.name_);
  }
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::StatusOr<std::uint64_t> File::Size() const {
  struct stat info {};
  if (fstat(descriptor_, &info) != 0) return SystemError("asking the size of", name_);
  return static_cast<std::uint64_t>(info.st_size);
}

absl::Status File::ReadAt(std::uint64_t offset, std::span<std::uint8_t> out) const {
  while (!out.empty()) {
    const ssize_t n = pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError("reading", name_);
    if (n == 0) {
      return absl::DataLossError(
          StrCat(name_, " ends at byte ", offset, ", ", out.size(), " more were expected"));
    }
    offset += static_cast<std::uint64_t>(n);
    out = out.subspan(static_cast<std::size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status File::WriteAt(std::uint64_t offset, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError("writing", name_);
    offset += static_cast<std::uint64_t>(n);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status File::Truncate(std::uint64_t size) {
  if (ftruncate(descriptor_, static_cast<off_t>(size)) != 0) return SystemError("resizing", name_);
  return absl::OkStatus();
}

absl::Status File::Sync() {
  if (fsync(descriptor_) != 0) return SystemError("syncing", name_);
  return absl::OkStatus();
}

absl::StatusOr<Bytes> ReadFile(const fs::path& path, std::uint64_t limit_bytes) {
  ASSIGN_OR_RETURN(File file, File::OpenForReading(path));
  ASSIGN_OR_RETURN(std::uint64_t size, file.Size());
  if (size > limit_bytes) {
    return absl::InvalidArgumentError(StrCat(path.filename().string(), " has ", size,
                                             " bytes, at most ", limit_bytes, " are read"));
  }
  Bytes bytes(size);
  RETURN_IF_ERROR(file.ReadAt(0, bytes));
  return bytes;
}

absl::StatusOr<std::string> ReadTextFile(const fs::path& path, std::uint64_t limit_bytes) {
  ASSIGN_OR_RETURN(Bytes bytes, ReadFile(path, limit_bytes));
  return std::string(AsText(bytes));
}

absl::Status WriteFileDurably(const fs::path& path, ByteView content, unsigned mode) {
  static std::atomic<unsigned> number{0};  // so that two threads never share a temporary file
  fs::path temporary = path;
  temporary += StrCat(".", getpid(), ".", number++, ".tmp");
  const auto write = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(File file, File::OpenForWriting(temporary, /*truncate=*/true));
    if (fchmod(file.descriptor(), mode) != 0) {
      return SystemError("setting the mode of", path.filename().string());
    }
    RETURN_IF_ERROR(file.WriteAt(0, content));
    return file.Sync();
  };
  absl::Status status = write();
  if (status.ok()) status = RenameDurably(temporary, path);
  if (!status.ok()) unlink(temporary.c_str());
  return status;
}

absl::Status RenameDurably(const fs::path& from, const fs::path& to) {
  if (rename(from.c_str(), to.c_str()) != 0) return SystemError("renaming", to.filename().string());
  return SyncFolder(to.parent_path());
}

absl::Status EnsureFolder(const fs::path& path) {
  if (path.empty()) return absl::OkStatus();
  std::error_code error;
  if (fs::is_directory(path, error)) return absl::OkStatus();
  RETURN_IF_ERROR(EnsureFolder(path.parent_path()));
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return SystemError("making the folder", path.filename().string());
  }
  if (!fs::is_directory(path, error)) {
    return absl::InvalidArgumentError(
        StrCat(path.filename().string(), " is there already and is not a folder"));
  }
  return absl::OkStatus();
}

bool Exists(const fs::path& path) {
  struct stat about {};
  return stat(path.c_str(), &about) == 0;
}

absl::StatusOr<std::uint64_t> FileSize(const fs::path& path) {
  struct stat about {};
  if (stat(path.c_str(), &about) != 0) return SystemError("looking at", path.filename().string());
  return static_cast<std::uint64_t>(about.st_size);
}

absl::Status Remove(const fs::path& path) {
  if (remove(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return SystemError("removing", path.filename().string());
}

absl::Status RemoveTree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (!error) return absl::OkStatus();
  errno = error.value();
  return SystemError("removing", path.filename().string());
}

absl::Status Rename(const fs::path& from, const fs::path& to) {
  if (rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return SystemError("renaming", to.filename().string());
}

absl::StatusOr<std::vector<FolderEntry>> ListFolder(const fs::path& path) {
  std::error_code error;
  std::vector<FolderEntry> entries;
  for (fs::directory_iterator i(path, error), end; !error && i != end; i.increment(error)) {
    struct stat about {};
    if (stat(i->path().c_str(), &about) != 0) continue;  // gone meanwhile
    const auto modified = std::chrono::seconds(about.st_mtim.tv_sec) +
                          std::chrono::nanoseconds(about.st_mtim.tv_nsec);
    entries.push_back({i->path(), S_ISDIR(about.st_mode), static_cast<std::uint64_t>(about.st_size),
                       Time(std::chrono::duration_cast<Duration>(modified))});
  }
  if (error) {
    errno = error.value();
    return SystemError("listing", path.filename().string());
  }
  std::sort(entries.begin(), entries.end(),
            [](const FolderEntry& a, const FolderEntry& b) { return a.path < b.path; });
  return entries;
}

absl::StatusOr<FolderLock> FolderLock::Acquire(const fs::path& folder) {
  RETURN_IF_ERROR(EnsureFolder(folder));
  ASSIGN_OR_RETURN(File file, File::OpenForWriting(folder / "lock", /*truncate=*/false));
  if (flock(file.descriptor(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return SystemError("locking", "lock");
    return absl::FailedPreconditionError(StrCat(
        "the state folder \"", folder.filename().string(),
        "\" is in use by another process; stop that one first, or give --state another folder"));
  }
  return FolderLock(std::move(file));
}

absl::StatusOr<MappedFile> MappedFile::Open(const fs::path& path) {
  ASSIGN_OR_RETURN(File file, File::OpenForReading(path));
  ASSIGN_OR_RETURN(std::uint64_t size, file.Size());
  MappedFile mapped;
  if (size == 0) return mapped;
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.descriptor(), 0);
  if (data == MAP_FAILED) return SystemError("mapping", path.filename().string());
  mapped.data_ = static_cast<const std::uint8_t*>(data);
  mapped.size_ = size;
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::uint8_t*>(data_), size_);
}

}  // namespace consilium
