#include "site_agent/outbox_file.h"

#include <algorithm>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/crypto/envelope.h"
#include "common/crypto/sha256.h"

namespace consilium::site_agent {
namespace {

// Beside the outbox, which holds only what is still to go.
fs::path SpareOf(fs::path outbox) { return outbox += ".spare"; }

// Until it is whole.
fs::path PartOf(fs::path file) { return file += ".part"; }

// A masked file ends with the sums, which its header carries to the coordinator.
absl::StatusOr<std::vector<std::uint64_t>> ReadSums(const File& file) {
  ASSIGN_OR_RETURN(const std::uint64_t size, file.Size());
  Bytes bytes(wire::kUpdateSums * sizeof(std::uint64_t));
  if (size < bytes.size()) return absl::DataLossError("a masked update without its sums");
  RETURN_IF_ERROR(file.ReadAt(size - bytes.size(), bytes));
  std::vector<std::uint64_t> sums;
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
    sums.push_back(LoadLe64(&bytes[at]));
  }
  return sums;
}

}  // namespace

absl::StatusOr<OutboxFile> OutboxFile::Restore(wire::UploadHeader header, const fs::path& path,
                                               const Digest& sha256) {
  ASSIGN_OR_RETURN(const Digest found, crypto::Sha256OfFile(path));
  if (found != sha256) {
    return absl::DataLossError(StrCat("the update of ", header.key.ToString(),
                                      " is damaged on the disk; the task is done again"));
  }
  OutboxFile restored;
  ASSIGN_OR_RETURN(restored.file_, File::OpenForReading(path));
  ASSIGN_OR_RETURN(restored.size_, restored.file_.Size());
  if (header.kind == wire::ContributionKind::kMaskedUpdate) {
    ASSIGN_OR_RETURN(header.masked_sums, ReadSums(restored.file_));
    header.proof.sha256 = sha256;
  }
  restored.header_ = std::move(header);
  restored.path_ = path;
  restored.sha256_ = sha256;
  return restored;
}

absl::StatusOr<OutboxFile> OutboxFile::Create(wire::UploadHeader header, const fs::path& outbox,
                                              std::string_view extension, std::uint64_t size) {
  RETURN_IF_ERROR(EnsureFolder(outbox));
  OutboxFile made;
  const AttemptKey& key = header.key;
  made.path_ = outbox / StrCat(key.run.value, "-", key.round, "-", key.attempt, extension);
  made.size_ = size;
  const fs::path part = PartOf(made.path_);
  Rename(SpareOf(outbox), part).IgnoreError();  // there may be none
  const auto open = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(made.file_, File::OpenForWriting(part, /*truncate=*/false));
    return made.file_.Truncate(size);
  };
  if (const absl::Status opened = open(); !opened.ok()) {
    made.Abandon();
    return opened;
  }
  made.header_ = std::move(header);
  return made;
}

absl::Status OutboxFile::Finish() {
  RETURN_IF_ERROR(file_.Sync());
  return RenameDurably(PartOf(path_), path_);
}

void OutboxFile::Abandon() { Remove(PartOf(path_)).IgnoreError(); }

std::uint32_t OutboxFile::SegmentCount() const {
  return crypto::SegmentCount(header_.plaintext_size);
}

OutboxFile::Segment OutboxFile::SegmentAt(std::uint32_t index) const {
  if (header_.kind == wire::ContributionKind::kMaskedUpdate) {
    const std::uint64_t begin = std::uint64_t{index} * crypto::kSegmentBytes;
    return {begin, std::min(begin + crypto::kSegmentBytes, header_.plaintext_size)};
  }
  return {crypto::SegmentOffset(index),
          index + 1 == SegmentCount() ? size_ : crypto::SegmentOffset(index + 1)};
}

void Discard(const fs::path& file) {
  if (!Rename(file, SpareOf(file.parent_path())).ok()) Remove(file).IgnoreError();
}

void RemoveSpare(const fs::path& outbox) { Remove(SpareOf(outbox)).IgnoreError(); }

}  // namespace consilium::site_agent
