#include "common/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/file_calls.h"
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

}  // namespace

absl::StatusOr<File> File::OpenForReading(const fs::path& path) {
  const int fd = file_calls::Open(path.c_str(), O_RDONLY, 0);
  if (fd < 0) return SystemError("opening", path.filename().string());
  return File(fd, path.filename().string());
}

absl::StatusOr<File> File::OpenForWriting(const fs::path& path, bool truncate) {
  const int flags = O_RDWR | O_CREAT | (truncate ? O_TRUNC : 0);
  const int fd = file_calls::Open(path.c_str(), flags, 0600);
  if (fd < 0) return SystemError("opening", path.filename().string());
  return File(fd, path.filename().string());
}

File::File(File&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), name_(std::move(other.name_)) {}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    if (descriptor_ >= 0) file_calls::Close(descriptor_);
    descriptor_ = std::exchange(other.descriptor_, -1);
    name_ = std::move(other.name_);
  }
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) file_calls::Close(descriptor_);
}

absl::StatusOr<std::uint64_t> File::Size() const {
  ASSIGN_OR_RETURN(const FileInfo info, Info());
  return info.size;
}

absl::StatusOr<FileInfo> File::Info() const {
  struct stat about {};
  if (file_calls::Look(descriptor_, &about) != 0) return SystemError("looking at", name_);
  return FileInfo{.regular = S_ISREG(about.st_mode),
                  .mode = about.st_mode & 07777,
                  .size = static_cast<std::uint64_t>(about.st_size)};
}

absl::Status File::ReadAt(std::uint64_t offset, std::span<std::uint8_t> out) const {
  while (!out.empty()) {
    const ssize_t n = file_calls::ReadAt(descriptor_, out.data(), out.size(), offset);
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
    const ssize_t n = file_calls::WriteAt(descriptor_, bytes.data(), bytes.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError("writing", name_);
    offset += static_cast<std::uint64_t>(n);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status File::Truncate(std::uint64_t size) {
  if (file_calls::Resize(descriptor_, size) != 0) return SystemError("resizing", name_);
  return absl::OkStatus();
}

absl::Status File::Sync() {
  if (file_calls::Sync(descriptor_) != 0) return SystemError("syncing", name_);
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

fs::path TemporaryBeside(const fs::path& path) {
  fs::path temporary = path;
  temporary += StrCat(".", file_calls::UniqueName(), ".tmp");
  return temporary;
}

absl::Status WriteFileDurably(const fs::path& path, ByteView content, unsigned mode) {
  const fs::path temporary = TemporaryBeside(path);
  const auto write = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(File file, File::OpenForWriting(temporary, /*truncate=*/true));
    if (file_calls::SetMode(file.descriptor(), mode) != 0) {
      return SystemError("setting the mode of", path.filename().string());
    }
    RETURN_IF_ERROR(file.WriteAt(0, content));
    return file.Sync();
  };
  absl::Status status = write();
  if (status.ok()) status = RenameDurably(temporary, path);
  if (!status.ok()) file_calls::Remove(temporary.c_str());
  return status;
}

absl::Status SyncFolder(const fs::path& folder) {
  const fs::path path = folder.empty() ? fs::path(".") : folder;
  const int fd = file_calls::Open(path.c_str(), O_RDONLY | O_DIRECTORY, 0);
  if (fd < 0) return SystemError("opening the folder", path.filename().string());
  absl::Status status;
  if (file_calls::Sync(fd) != 0) {
    status = SystemError("syncing the folder", path.filename().string());
  }
  file_calls::Close(fd);
  return status;
}

absl::Status RenameDurably(const fs::path& from, const fs::path& to) {
  RETURN_IF_ERROR(Rename(from, to));
  return SyncFolder(to.parent_path());
}

absl::Status EnsureFolder(const fs::path& path) {
  if (path.empty()) return absl::OkStatus();
  struct stat about {};
  if (file_calls::Look(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode)) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(EnsureFolder(path.parent_path()));
  if (file_calls::MakeFolder(path.c_str(), 0700) == 0) return SyncFolder(path.parent_path());
  if (errno != EEXIST) return SystemError("making the folder", path.filename().string());
  if (file_calls::Look(path.c_str(), &about) != 0 || !S_ISDIR(about.st_mode)) {
    return absl::InvalidArgumentError(
        StrCat(path.filename().string(), " is there already and is not a folder"));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> MakeEmptyFile(const fs::path& path) {
  const int fd = file_calls::Open(path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
  if (fd >= 0) {
    file_calls::Close(fd);
    return true;
  }
  if (errno == EEXIST) return false;
  return SystemError("making", path.filename().string());
}

bool Exists(const fs::path& path) {
  struct stat about {};
  return file_calls::Look(path.c_str(), &about) == 0;
}

absl::StatusOr<std::uint64_t> FileSize(const fs::path& path) {
  struct stat about {};
  if (file_calls::Look(path.c_str(), &about) != 0) {
    return SystemError("looking at", path.filename().string());
  }
  return static_cast<std::uint64_t>(about.st_size);
}

absl::Status Remove(const fs::path& path) {
  if (file_calls::Remove(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return SystemError("removing", path.filename().string());
}

absl::Status RemoveTree(const fs::path& path) {
  // A link to a folder is gone with the first call: what it points to is not looked into.
  if (file_calls::Remove(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  if (errno != ENOTEMPTY && errno != EEXIST) {
    return SystemError("removing", path.filename().string());
  }
  std::vector<std::string> names;
  if (file_calls::List(path.c_str(), &names) != 0) {
    return SystemError("listing", path.filename().string());
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) RETURN_IF_ERROR(RemoveTree(path / name));
  return Remove(path);
}

absl::Status Rename(const fs::path& from, const fs::path& to) {
  if (file_calls::Rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return SystemError("renaming", to.filename().string());
}

absl::StatusOr<std::vector<FolderEntry>> ListFolder(const fs::path& path) {
  std::vector<std::string> names;
  if (file_calls::List(path.c_str(), &names) != 0) {
    return SystemError("listing", path.filename().string());
  }
  std::sort(names.begin(), names.end());
  std::vector<FolderEntry> entries;
  for (const std::string& name : names) {
    const fs::path entry = path / name;
    struct stat about {};
    if (file_calls::Look(entry.c_str(), &about) != 0) continue;  // gone meanwhile
    const auto modified = std::chrono::seconds(about.st_mtim.tv_sec) +
                          std::chrono::nanoseconds(about.st_mtim.tv_nsec);
    entries.push_back({entry, S_ISDIR(about.st_mode), static_cast<std::uint64_t>(about.st_size),
                       Time(std::chrono::duration_cast<Duration>(modified))});
  }
  return entries;
}

absl::StatusOr<FolderLock> FolderLock::Acquire(const fs::path& folder) {
  RETURN_IF_ERROR(EnsureFolder(folder));
  ASSIGN_OR_RETURN(File file, File::OpenForWriting(folder / "lock", /*truncate=*/false));
  if (file_calls::Lock(file.descriptor()) != 0) {
    if (errno != EWOULDBLOCK) return SystemError("locking", "lock");
    return absl::FailedPreconditionError(StrCat(
        "the state folder \"", folder.filename().string(),
        "\" is in use by another process; stop that one first, or give --state another folder"));
  }
  if (file_calls::SyncAll(file.descriptor()) != 0)
    return SystemError("syncing the disk of", "lock");
  return FolderLock(std::move(file));
}

absl::StatusOr<MappedFile> MappedFile::Open(const fs::path& path) {
  ASSIGN_OR_RETURN(File file, File::OpenForReading(path));
  ASSIGN_OR_RETURN(std::uint64_t size, file.Size());
  MappedFile mapped;
  if (size == 0) return mapped;
  const void* data = file_calls::Map(file.descriptor(), size);
  if (data == nullptr) return SystemError("mapping", path.filename().string());
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
  if (data_ != nullptr) file_calls::Unmap(data_, size_);
}

}  // namespace consilium
