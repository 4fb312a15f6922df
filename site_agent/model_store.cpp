#include "site_agent/model_store.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"

namespace consilium::site_agent {

// A file that is not whole yet and the hash of what it holds so far.
class PartialFile {
 public:
  // One to go on with.
  static absl::StatusOr<PartialFile> Open(fs::path path) {
    PartialFile partial(std::move(path));
    ASSIGN_OR_RETURN(partial.file_, File::OpenForWriting(partial.path_, /*truncate=*/false));
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

  // A new one, written over whatever the file at `path` held, if there is one: blocks that the file
  // has and pages that are in memory cost half of new ones.
  static absl::StatusOr<PartialFile> WriteOver(fs::path path) {
    PartialFile partial(std::move(path));
    ASSIGN_OR_RETURN(partial.file_, File::OpenForWriting(partial.path_, /*truncate=*/false));
    return partial;
  }

  // Cuts off what was not written here, and gives the file its name, durably.
  absl::Status RenameTo(const fs::path& path) {
    RETURN_IF_ERROR(file_.Truncate(size_));
    RETURN_IF_ERROR(file_.Sync());
    RETURN_IF_ERROR(RenameDurably(path_, path));
    path_ = path;
    return absl::OkStatus();
  }

  void Remove() { consilium::Remove(path_).IgnoreError(); }

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
  Digest Hash() { return std::move(sha256_).Finish(); }  // once

 private:
  explicit PartialFile(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
  File file_;
  crypto::Sha256Stream sha256_;
  std::uint64_t size_ = 0;
};

// A model put together in memory from its file's bytes as they come, from the first on.
class ArrivingModel {
 public:
  // A beginning at 0 forgets what came before. What does not follow it, or is not a model file's,
  // is not taken; then there will be no model.
  void Append(std::uint64_t offset, ByteView bytes, std::uint64_t total_size) {
    if (offset == 0) *this = ArrivingModel();
    if (offset != size_) return;
    size_ += bytes.size();
    if (!header_) {
      beginning_.insert(beginning_.end(), bytes.begin(), bytes.end());
      auto header = ReadSafetensorsHeader(beginning_, total_size);
      if (absl::IsOutOfRange(header.status())) return;  // there is more of it to come
      if (!header.ok()) size_ = kNothingMore;
      if (!header.ok()) return;
      header_ = *std::move(header);
      bytes = ByteView(beginning_).subspan(header_->data_offset);
    }
    CONSILIUM_CHECK(size_ <= header_->file_size());  // the caller has compared them
    MakeRoom();
    std::memcpy(reinterpret_cast<std::uint8_t*>(values_.data()) +
                    (size_ - bytes.size() - header_->data_offset),
                bytes.data(), bytes.size());
    beginning_ = {};
  }

  // The model, when all of it has come and is as it must be.
  std::optional<ModelState> Finish() && {
    if (!header_ || size_ != header_->file_size()) return std::nullopt;
    auto model = ModelState::Create(std::move(header_->layout), std::move(values_));
    return model.ok() ? std::optional(*std::move(model)) : std::nullopt;
  }

 private:
  // As the bytes come: a size that is only claimed takes no memory.
  void MakeRoom() {
    constexpr std::uint64_t kAtOnce = 16 << 20;  // values
    const std::uint64_t whole = TotalElements(header_->layout);
    const std::uint64_t came = (size_ - header_->data_offset + 3) / 4;
    if (came <= values_.size()) return;
    values_.resize(std::min(whole, std::max(kAtOnce, 2 * came)));
  }

  static constexpr std::uint64_t kNothingMore = std::numeric_limits<std::uint64_t>::max();
  Bytes beginning_;  // until the header is whole
  std::uint64_t size_ = 0;
  std::optional<SafetensorsHeader> header_;
  std::vector<float> values_;
};

fs::path ModelStore::PathOf(const ModelId& model) const {
  return folder_ / StrCat(model.Hex(), ".safetensors");
}

bool ModelStore::Holds(const ModelId& model) {
  const fs::path path = PathOf(model);
  if (!Exists(path)) return false;
  if (checked_.contains(model)) return true;
  const absl::StatusOr<Digest> found = crypto::Sha256OfFile(path);
  if (found.ok() && *found == model) {
    checked_.insert(model);
    return true;
  }
  Log(LogLevel::kWarning, "model_damaged", {{"model", model.Short()}});
  Remove(path).IgnoreError();
  return false;
}

absl::StatusOr<fs::path> ModelStore::Fetch(CoordinatorChannel& channel, const ModelId& model,
                                           Progress& progress, std::stop_token stop) {
  return Fetch(channel, model, nullptr, progress, std::move(stop));
}

absl::Status ModelStore::CopyFrom(ModelStore& other, const ModelId& model) {
  if (Holds(model) || !other.Holds(model)) return absl::OkStatus();
  RETURN_IF_ERROR(EnsureFolder(folder_));
  ASSIGN_OR_RETURN(const File from, File::OpenForReading(other.PathOf(model)));
  ASSIGN_OR_RETURN(const std::uint64_t size, from.Size());
  SpareTheOldest();
  ASSIGN_OR_RETURN(auto copy, PartialFile::WriteOver(Spare()));
  Bytes buffer(std::min<std::uint64_t>(size, 1 << 20));
  while (copy.size() < size) {
    const auto piece =
        std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), size - copy.size()));
    RETURN_IF_ERROR(from.ReadAt(copy.size(), piece));
    RETURN_IF_ERROR(copy.Append(piece, size));
  }
  return Keep(std::move(copy), model);
}

// What has been written is the model (else kDataLoss): its name, durably.
absl::Status ModelStore::Keep(PartialFile written, const ModelId& model) {
  const Digest found = written.Hash();
  if (found != model) {
    written.Remove();
    return absl::DataLossError(
        StrCat("what came as model ", model.Short(), " has another hash (", found.Short(), ")"));
  }
  RETURN_IF_ERROR(written.RenameTo(PathOf(model)));
  checked_.insert(model);
  Prune(model);
  return absl::OkStatus();
}

absl::StatusOr<ModelState> ModelStore::Load(CoordinatorChannel& channel, const ModelId& model,
                                            Progress& progress, std::stop_token stop) {
  if (loaded_ && loaded_->id == model) return loaded_->state;
  loaded_.reset();  // first: two models need not be in memory
  ArrivingModel arriving;
  ASSIGN_OR_RETURN(const fs::path path,
                   Fetch(channel, model, &arriving, progress, std::move(stop)));
  std::optional<ModelState> arrived = std::move(arriving).Finish();
  if (!arrived) {
    ASSIGN_OR_RETURN(arrived, LoadSafetensors(path));
  }
  loaded_ = Loaded{model, *std::move(arrived)};
  return loaded_->state;
}

absl::StatusOr<ModelState> ModelStore::LoadNext(CoordinatorChannel& channel, const ModelId& model,
                                                std::span<const std::string> frozen,
                                                Progress& progress, std::stop_token stop) {
  if (loaded_ && loaded_->id != model && !Holds(model)) {
    const auto travelling = Travelling::Of(loaded_->state.layout(), frozen);
    if (travelling.ok() && !travelling->all()) {
      const absl::Status made = MakeOfLoaded(channel, model, *travelling, progress, stop);
      if (!made.ok() && !absl::IsDataLoss(made)) return made;
      if (!made.ok()) {
        Log(LogLevel::kInfo, "model_downloaded_whole",
            {{"model", model.Short()}, {"reason", ToStd(made.message())}});
      }
    }
  }
  return Load(channel, model, progress, std::move(stop));
}

absl::Status ModelStore::MakeOfLoaded(CoordinatorChannel& channel, const ModelId& model,
                                      const Travelling& travelling, Progress& progress,
                                      std::stop_token stop) {
  const ModelState& base = loaded_->state;
  const std::vector<Travelling::Range> parts = travelling.Within(0, base.values().size());
  if (parts.size() > wire::kMostRanges) {
    return absl::DataLossError(StrCat("it would come in ", parts.size(), " parts"));
  }
  const std::uint64_t data = WriteSafetensorsHeader(base.layout()).size();
  std::vector<wire::ByteRange> ranges;
  for (const auto& part : parts) ranges.push_back({data + 4 * part.model, 4 * part.count});
  RETURN_IF_ERROR(
      DownloadPart(channel, model, ranges, 4 * travelling.size(), progress, std::move(stop)));
  const Bytes bytes = std::move(part_->bytes);
  part_.reset();
  std::vector<float> values(base.values().begin(), base.values().end());
  for (const auto& part : parts) {
    std::memcpy(&values[part.model], bytes.data() + 4 * part.update, 4 * part.count);
  }
  auto made = ModelState::Create(base.layout(), std::move(values));
  if (!made.ok()) return absl::DataLossError(made.status().message());
  return KeepMade(model, *std::move(made));
}

absl::Status ModelStore::DownloadPart(CoordinatorChannel& channel, const ModelId& model,
                                      std::span<const wire::ByteRange> ranges, std::uint64_t size,
                                      Progress& progress, std::stop_token stop) {
  if (!part_ || part_->model != model) part_ = {model, {}};
  Bytes& came = part_->bytes;
  absl::Status received = channel.DownloadModel(
      model, ranges, came.size(),
      [&](ByteView bytes, std::uint64_t total) -> absl::Status {
        if (total != size || came.size() + bytes.size() > size) {
          return absl::DataLossError("the coordinator sends another number of bytes");
        }
        came.insert(came.end(), bytes.begin(), bytes.end());
        progress.Report("downloading", came.size(), size);
        return absl::OkStatus();
      },
      std::move(stop));
  if (received.ok() && came.size() == size) return received;
  if (received.ok()) received = absl::DataLossError("the download ended before its end");
  // The model is of another size, or the coordinator knows no ranges.
  const bool other = absl::IsOutOfRange(received) || absl::IsInvalidArgument(received);
  if (other) received = absl::DataLossError(received.message());
  if (absl::IsDataLoss(received)) part_.reset();
  return received;
}

absl::Status ModelStore::KeepMade(const ModelId& model, ModelState made) {
  SpareTheOldest();
  ASSIGN_OR_RETURN(auto file, PartialFile::WriteOver(Spare()));
  const std::string header = WriteSafetensorsHeader(made.layout());
  const ByteView values(reinterpret_cast<const std::uint8_t*>(made.values().data()),
                        made.values().size_bytes());
  const std::uint64_t size = header.size() + values.size();
  RETURN_IF_ERROR(file.Append(AsBytes(header), size));
  constexpr std::size_t kPiece = 1 << 20;
  for (std::size_t at = 0; at < values.size(); at += kPiece) {
    RETURN_IF_ERROR(file.Append(values.subspan(at, std::min(kPiece, values.size() - at)), size));
  }
  RETURN_IF_ERROR(Keep(std::move(file), model));
  loaded_ = Loaded{model, std::move(made)};
  return absl::OkStatus();
}

absl::StatusOr<fs::path> ModelStore::Fetch(CoordinatorChannel& channel, const ModelId& model,
                                           ArrivingModel* arriving, Progress& progress,
                                           std::stop_token stop) {
  if (Holds(model)) return PathOf(model);
  RETURN_IF_ERROR(EnsureFolder(folder_));
  absl::Status status = Download(channel, model, arriving, progress, stop);
  if (absl::IsDataLoss(status)) {
    Log(LogLevel::kWarning, "model_downloaded_again",
        {{"model", model.Short()}, {"reason", ToStd(status.message())}});
    status = Download(channel, model, arriving, progress, stop);
  }
  RETURN_IF_ERROR(status);
  return PathOf(model);
}

absl::Status ModelStore::Download(CoordinatorChannel& channel, const ModelId& model,
                                  ArrivingModel* arriving, Progress& progress,
                                  std::stop_token stop) {
  fs::path part = PathOf(model);
  part += ".part";
  const bool goes_on = Exists(part);
  if (!goes_on) SpareTheOldest();
  ASSIGN_OR_RETURN(auto partial,
                   goes_on ? PartialFile::Open(part) : PartialFile::WriteOver(Spare()));
  const absl::Status received = channel.DownloadModel(
      model, {}, partial.size(),
      [&](ByteView bytes, std::uint64_t total) -> absl::Status {
        const std::uint64_t offset = partial.size();
        RETURN_IF_ERROR(partial.Append(bytes, total));
        progress.Report("downloading", partial.size(), total);
        if (arriving != nullptr) arriving->Append(offset, bytes, total);
        return absl::OkStatus();
      },
      std::move(stop));
  if (!received.ok()) {
    // What cannot be gone on with begins anew.
    const bool anew = absl::IsDataLoss(received) || absl::IsOutOfRange(received);
    if (anew) partial.Remove();
    if (absl::IsOutOfRange(received)) return absl::DataLossError(received.message());
    if (!anew) partial.RenameTo(part).IgnoreError();
    return received;
  }
  const absl::Status kept = Keep(std::move(partial), model);
  if (!absl::IsDataLoss(kept)) return kept;
  return absl::DataLossError(
      StrCat(kept.message(), ": it was changed on the way from the coordinator or on its disk"));
}

std::vector<fs::path> ModelStore::OldestFirst() const {
  auto files = ListFolder(folder_);
  if (!files.ok()) return {};
  std::stable_sort(files->begin(), files->end(),
                   [](const auto& a, const auto& b) { return a.modified < b.modified; });
  std::vector<fs::path> paths;
  for (FolderEntry& file : *files) paths.push_back(std::move(file.path));
  return paths;
}

void ModelStore::SpareTheOldest() {
  const std::vector<fs::path> files = OldestFirst();
  if (files.size() < keep_ || Exists(Spare())) return;
  Forget(files.front());
  Rename(files.front(), Spare()).IgnoreError();
}

void ModelStore::Forget(const fs::path& file) {
  if (const auto model = Digest::FromHex(file.stem().string()); model.ok()) checked_.erase(*model);
}

void ModelStore::Prune(const ModelId& newest) {
  std::vector<fs::path> files = OldestFirst();
  std::erase(files, PathOf(newest));
  for (std::size_t i = 0; i + keep_ < files.size() + 1; ++i) {
    Remove(files[i]).IgnoreError();
    Forget(files[i]);
  }
}

}  // namespace consilium::site_agent
