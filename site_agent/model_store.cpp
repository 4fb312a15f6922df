#include "site_agent/model_store.h"

#include <algorithm>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"

namespace consilium::site_agent {
namespace {

// A partial file and the hash of what it holds so far.
class PartialFile {
 public:
  static absl::StatusOr<PartialFile> Open(const fs::path& path) {
    PartialFile partial;
    ASSIGN_OR_RETURN(partial.file_, File::OpenForWriting(path, /*truncate=*/false));
    ASSIGN_OR_RETURN(const std::uint64_t size, partial.file_.Size());
    Bytes buffer(std::min<std::uint64_t>(size, 1 << 20));
    while (partial.size_ < size) {
      const auto piece =
          std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), size - partial.size_));
      RETURN_IF_ERROR(partial.file_.ReadAt(partial.size_, piece));
      partial.sha256_.Update(piece);
      partial.size_ += piece.size();
    }
    return partial;
  }

  absl::Status Append(ByteView bytes, std::uint64_t total_size) {
    if (size_ + bytes.size() > total_size) {
      return absl::DataLossError(
          StrCat("the coordinator sends more than the ", total_size, " bytes it announced"));
    }
    RETURN_IF_ERROR(file_.WriteAt(size_, bytes));
    sha256_.Update(bytes);
    size_ += bytes.size();
    return absl::OkStatus();
  }

  std::uint64_t size() const { return size_; }
  Digest Finish() && { return std::move(sha256_).Finish(); }

 private:
  File file_;
  crypto::Sha256Stream sha256_;
  std::uint64_t size_ = 0;
};

}  // namespace

fs::path ModelStore::PathOf(const ModelId& model) const {
  return folder_ / StrCat(model.Hex(), ".safetensors");
}

bool ModelStore::Holds(const ModelId& model) {
  const fs::path path = PathOf(model);
  std::error_code error;
  if (!fs::exists(path, error)) return false;
  if (checked_.contains(model)) return true;
  const absl::StatusOr<Digest> found = crypto::Sha256OfFile(path);
  if (found.ok() && *found == model) {
    checked_.insert(model);
    return true;
  }
  Log(LogLevel::kWarning, "model_damaged", {{"model", model.Short()}});
  fs::remove(path, error);
  return false;
}

absl::StatusOr<fs::path> ModelStore::Fetch(CoordinatorChannel& channel, const ModelId& model,
                                           std::stop_token stop) {
  if (Holds(model)) return PathOf(model);
  RETURN_IF_ERROR(EnsureFolder(folder_));
  absl::Status status = Download(channel, model, stop);
  if (absl::IsDataLoss(status)) {
    Log(LogLevel::kWarning, "model_downloaded_again",
        {{"model", model.Short()}, {"reason", ToStd(status.message())}});
    status = Download(channel, model, stop);
  }
  RETURN_IF_ERROR(status);
  checked_.insert(model);
  Prune(model);
  return PathOf(model);
}

absl::Status ModelStore::Download(CoordinatorChannel& channel, const ModelId& model,
                                  std::stop_token stop) {
  fs::path part = PathOf(model);
  part += ".part";
  ASSIGN_OR_RETURN(auto partial, PartialFile::Open(part));
  const absl::Status received = channel.DownloadModel(
      model, partial.size(),
      [&](ByteView bytes, std::uint64_t total) { return partial.Append(bytes, total); },
      std::move(stop));
  std::error_code ignored;
  if (!received.ok()) {
    // What cannot be gone on with begins anew.
    if (absl::IsDataLoss(received) || absl::IsOutOfRange(received)) fs::remove(part, ignored);
    if (absl::IsOutOfRange(received)) return absl::DataLossError(received.message());
    return received;
  }
  const Digest found = std::move(partial).Finish();
  if (found != model) {
    fs::remove(part, ignored);
    return absl::DataLossError(StrCat("what the coordinator sent as model ", model.Short(),
                                      " has another hash (", found.Short(),
                                      "): it was changed on the way or on the coordinator's disk"));
  }
  fs::rename(part, PathOf(model), ignored);
  if (ignored) return absl::InternalError("a downloaded model cannot be renamed into place");
  return absl::OkStatus();
}

void ModelStore::Prune(const ModelId& newest) {
  std::error_code error;
  std::vector<std::pair<fs::file_time_type, fs::path>> files;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    if (entry.path() != PathOf(newest)) {
      files.emplace_back(fs::last_write_time(entry.path(), error), entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  while (files.size() + 1 > keep_ && !files.empty()) {
    fs::remove(files.front().second, error);
    if (const auto model = Digest::FromHex(files.front().second.stem().string()); model.ok()) {
      checked_.erase(*model);
    }
    files.erase(files.begin());
  }
}

}  // namespace consilium::site_agent
