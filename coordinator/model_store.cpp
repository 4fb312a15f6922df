#include "coordinator/model_store.h"

#include <unistd.h>

#include <algorithm>
#include <vector>

#include "common/base/status.h"
#include "common/crypto/sha256.h"

namespace consilium::coordinator {
namespace {

constexpr std::size_t kPieceBytes = 256 * 1024;

// Copies `from` into `to`, and returns the hash of what was copied.
absl::StatusOr<Digest> CopyAndHash(const File& from, File& to) {
  ASSIGN_OR_RETURN(const std::uint64_t size, from.Size());
  crypto::Sha256Stream hash;
  Bytes piece(kPieceBytes);
  for (std::uint64_t at = 0; at < size; at += kPieceBytes) {
    const std::span<std::uint8_t> bytes(piece.data(),
                                        std::min<std::uint64_t>(kPieceBytes, size - at));
    RETURN_IF_ERROR(from.ReadAt(at, bytes));
    hash.Update(bytes);
    RETURN_IF_ERROR(to.WriteAt(at, bytes));
  }
  return std::move(hash).Finish();
}

}  // namespace

absl::StatusOr<ModelStore> ModelStore::Open(const fs::path& folder) {
  RETURN_IF_ERROR(EnsureFolder(folder));
  ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries, ListFolder(folder));
  for (const FolderEntry& entry : entries) {
    if (entry.path.extension() == ".tmp") RETURN_IF_ERROR(consilium::Remove(entry.path));
  }
  return ModelStore(folder);
}

fs::path ModelStore::PathOf(const ModelId& model) const {
  return folder_ / StrCat(model.Hex(), ".safetensors");
}

absl::StatusOr<MadeModel> ModelStore::Import(const fs::path& file) {
  ASSIGN_OR_RETURN(const File from, File::OpenForReading(file));
  ASSIGN_OR_RETURN(const SafetensorsHeader header, ReadSafetensorsHeader(from));
  const fs::path temporary = TemporaryBeside(folder_ / "import");
  const auto copy = [&]() -> absl::StatusOr<MadeModel> {
    ASSIGN_OR_RETURN(File to, File::OpenForWriting(temporary, /*truncate=*/true));
    ASSIGN_OR_RETURN(const Digest id, CopyAndHash(from, to));
    RETURN_IF_ERROR(to.Sync());
    RETURN_IF_ERROR(RenameDurably(temporary, PathOf(id)));
    return MadeModel{id, PathOf(id), TotalElements(header.layout)};
  };
  absl::StatusOr<MadeModel> made = copy();
  if (!made.ok()) (void)consilium::Remove(temporary);
  return made;
}

absl::StatusOr<File> ModelStore::OpenForReading(const ModelId& model) const {
  absl::StatusOr<File> file = File::OpenForReading(PathOf(model));
  if (absl::IsNotFound(file.status())) {
    return absl::NotFoundError(StrCat("model ", model.Short(),
                                      " is not kept here; `consilium model list` shows which are"));
  }
  return file;
}

absl::StatusOr<BaseModel> ModelStore::LoadBase(const ModelId& model) const {
  ASSIGN_OR_RETURN(const File file, OpenForReading(model));
  ASSIGN_OR_RETURN(SafetensorsHeader header, ReadSafetensorsHeader(file));
  return BaseModel{model, std::move(header), PathOf(model)};
}

bool ModelStore::Holds(const ModelId& model) const { return Exists(PathOf(model)); }

absl::StatusOr<bool> ModelStore::Remove(const ModelId& model) {
  if (!Exists(PathOf(model))) return false;
  RETURN_IF_ERROR(WithContext(consilium::Remove(PathOf(model)), StrCat("model ", model.Short())));
  return true;
}

}  // namespace consilium::coordinator
