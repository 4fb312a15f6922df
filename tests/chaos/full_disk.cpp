#include "tests/chaos/full_disk.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <vector>

#include "common/base/status.h"

namespace consilium::chaos {

absl::StatusOr<std::unique_ptr<FullDisk>> FullDisk::Mount(const fs::path& folder, int megabytes) {
  RETURN_IF_ERROR(EnsureFolder(folder));
  const std::string options = StrCat("size=", megabytes, "m,mode=0700");
  if (mount("tmpfs", folder.c_str(), "tmpfs", 0, options.c_str()) != 0) {
    return absl::PermissionDeniedError(
        StrCat("a small disk cannot be mounted (", strerror(errno),
               "): run as root, where mounts are allowed, or leave out the weather \"disk\""));
  }
  return std::unique_ptr<FullDisk>(new FullDisk(folder));
}

FullDisk::~FullDisk() { umount2(folder_.c_str(), MNT_DETACH); }

void FullDisk::Fill() const {
  const int file = open(Ballast().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) return;
  const std::vector<char> block(64 * 1024, 'x');
  for (std::size_t size = block.size(); size > 0; size /= 2) {
    while (write(file, block.data(), size) > 0) {
    }
  }
  close(file);
}

void FullDisk::Free() const { unlink(Ballast().c_str()); }

}  // namespace consilium::chaos
