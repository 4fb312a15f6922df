#include "coordinator/model_import.h"

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"

namespace consilium::coordinator {

absl::StatusOr<ModelImport> ModelImport::Begin(const ModelStore& models, std::uint64_t size) {
  if (size == 0 || size > kLargestImport) {
    return absl::InvalidArgumentError(
        StrCat("a model file of ", size, " bytes is not taken: 1 to ", kLargestImport, " are"));
  }
  fs::path path = TemporaryBeside(models.folder() / "import");
  ASSIGN_OR_RETURN(File file, File::OpenForWriting(path, /*truncate=*/true));
  return ModelImport(models, std::move(path), std::move(file), size);
}

ModelImport::~ModelImport() {
  if (!path_.empty()) (void)Remove(path_);
}

absl::Status ModelImport::Add(ByteView piece) {
  if (piece.size() > size_ - written_) {
    return absl::InvalidArgumentError(StrCat("more came than the ", size_, " bytes announced"));
  }
  RETURN_IF_ERROR(file_.WriteAt(written_, piece));
  written_ += piece.size();
  return absl::OkStatus();
}

absl::StatusOr<ModelId> ModelImport::Finish(SharedLedger& ledger, const std::string& researcher,
                                            Time now) {
  if (written_ != size_) {
    return absl::InvalidArgumentError(
        StrCat(written_, " of ", size_, " bytes came: send the model again"));
  }
  RETURN_IF_ERROR(file_.Sync());
  ModelEntry entry;
  {
    ASSIGN_OR_RETURN(const ModelState model, LoadSafetensors(path_));
    ASSIGN_OR_RETURN(const File written, File::OpenForReading(path_));
    ASSIGN_OR_RETURN(const SafetensorsHeader header, ReadSafetensorsHeader(written));
    const std::string canonical = WriteSafetensorsHeader(model.layout());
    Bytes bytes(header.data_offset);
    RETURN_IF_ERROR(written.ReadAt(0, bytes));
    if (model.values().empty() || AsText(bytes) != canonical) {
      return absl::InvalidArgumentError(
          "the file is not in Consilium's canonical form, without metadata: `consilium-site model "
          "map` writes it");
    }
    entry.parameters = model.values().size();
  }
  ASSIGN_OR_RETURN(entry.id, crypto::Sha256OfFile(path_));
  RETURN_IF_ERROR(RenameDurably(path_, models_->PathOf(entry.id)));
  path_.clear();
  entry.stage = ModelStage::kInitial;
  entry.created = now;
  entry.file_size = size_;
  RETURN_IF_ERROR(ledger.With([&](Ledger& l) -> absl::Status {
    RETURN_IF_ERROR(l.AddModel(entry));
    return l.AddLogEntry(now, researcher, "import model", entry.id.Hex());
  }));
  return entry.id;
}

}  // namespace consilium::coordinator
