#include "datasets/pacs/instance_store.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "datasets/pacs/pdu.h"

namespace consilium::datasets::pacs {
namespace {

constexpr std::size_t kWriteBytes = 256 << 10;
constexpr std::size_t kBeginningBytes = 16 << 10;
constexpr std::string_view kIncoming = ".incoming";

}  // namespace

absl::StatusOr<std::unique_ptr<InstanceStore>> InstanceStore::Open(
    const fs::path& folder, std::uint64_t max_instance_bytes) {
  const fs::path incoming = folder / kIncoming;
  RETURN_IF_ERROR(EnsureFolder(incoming));
  absl::StatusOr<FolderLock> lock = FolderLock::Acquire(incoming);
  if (!lock.ok()) {
    return WithContext(lock.status(), "another pull or listener writes to this folder");
  }
  ASSIGN_OR_RETURN(const std::vector<FolderEntry> left, ListFolder(incoming));
  for (const FolderEntry& entry : left) {
    if (entry.path.extension() == ".tmp") RETURN_IF_ERROR(Remove(entry.path));
  }
  return std::unique_ptr<InstanceStore>(
      new InstanceStore(folder, *std::move(lock), max_instance_bytes));
}

fs::path InstanceStore::PathOf(std::string_view sop_instance_uid) const {
  const std::string name = crypto::Sha256(sop_instance_uid).Hex().substr(0, 40);
  return folder_ / name.substr(0, 2) / (name + ".dcm");
}

bool InstanceStore::Has(std::string_view sop_instance_uid) const {
  return Exists(PathOf(sop_instance_uid));
}

absl::StatusOr<IncomingInstance> InstanceStore::Begin(InstanceHead head) {
  if (!IsUid(head.sop_instance_uid) || !IsStorageClass(head.sop_class_uid)) {
    return absl::InvalidArgumentError("no UIDs of a storage SOP class and an instance");
  }
  const std::vector<std::string>& syntaxes = AcceptedTransferSyntaxes();
  if (std::find(syntaxes.begin(), syntaxes.end(), head.transfer_syntax_uid) == syntaxes.end()) {
    return absl::InvalidArgumentError(
        StrCat("the transfer syntax ", head.transfer_syntax_uid, " is none that we take"));
  }
  fs::path temporary = TemporaryBeside(folder_ / kIncoming / "instance");
  ASSIGN_OR_RETURN(File file, File::OpenForWriting(temporary, true));
  IncomingInstance incoming(this, std::move(head), std::move(temporary), std::move(file));
  incoming.buffer_ = EncodeFileMeta(incoming.head_);
  return incoming;
}

IncomingInstance::IncomingInstance(IncomingInstance&& other) noexcept
    : store_(other.store_),
      head_(std::move(other.head_)),
      temporary_(std::exchange(other.temporary_, {})),
      file_(std::move(other.file_)),
      written_(other.written_),
      size_(other.size_),
      buffer_(std::move(other.buffer_)),
      beginning_(std::move(other.beginning_)) {}

IncomingInstance::~IncomingInstance() {
  if (!temporary_.empty()) Remove(temporary_).IgnoreError();
}

absl::Status IncomingInstance::Flush() {
  RETURN_IF_ERROR(file_.WriteAt(written_, buffer_));
  written_ += buffer_.size();
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status IncomingInstance::Append(ByteView bytes) {
  size_ += bytes.size();
  if (size_ > store_->max_instance_bytes_) {
    return absl::OutOfRangeError(
        StrCat("an instance is over the limit of ", store_->max_instance_bytes_, " bytes"));
  }
  if (beginning_.size() < kBeginningBytes) {
    const ByteView part = bytes.first(std::min(bytes.size(), kBeginningBytes - beginning_.size()));
    beginning_.insert(beginning_.end(), part.begin(), part.end());
  }
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  return buffer_.size() >= kWriteBytes ? Flush() : absl::OkStatus();
}

absl::Status IncomingInstance::Commit() {
  if (head_.transfer_syntax_uid != kDeflated) {
    const auto named = FindNamedInstance(beginning_, head_.transfer_syntax_uid);
    if (!named || named->sop_instance_uid != head_.sop_instance_uid ||
        named->sop_class_uid != head_.sop_class_uid) {
      return absl::InvalidArgumentError(
          "a data set does not name the SOP class and instance that it was announced as");
    }
  }
  if (store_->Has(head_.sop_instance_uid)) return absl::OkStatus();
  RETURN_IF_ERROR(Flush());
  RETURN_IF_ERROR(file_.Sync());
  const fs::path path = store_->PathOf(head_.sop_instance_uid);
  RETURN_IF_ERROR(EnsureFolder(path.parent_path()));
  RETURN_IF_ERROR(RenameDurably(temporary_, path));
  temporary_.clear();
  ++store_->arrived_;
  store_->arrived_bytes_ += written_;
  return absl::OkStatus();
}

}  // namespace consilium::datasets::pacs
