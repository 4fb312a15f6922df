#pragma once

// A small disk of its own (tmpfs) for one process's state, that can be filled to the last byte.

#include <memory>

#include "common/base/file.h"

namespace consilium::chaos {

class FullDisk {
 public:
  // Mounts on `folder`, which it makes. kPermissionDenied: this user may not mount.
  static absl::StatusOr<std::unique_ptr<FullDisk>> Mount(const fs::path& folder, int megabytes);
  ~FullDisk();  // unmounts
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

  void Fill() const;
  void Free() const;

 private:
  explicit FullDisk(fs::path folder) : folder_(std::move(folder)) {}
  fs::path Ballast() const { return folder_ / "ballast"; }
  const fs::path folder_;
};

}  // namespace consilium::chaos
