#include "site_agent/result_files.h"

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "datasets/results/secondary_capture_writer.h"

namespace consilium::site_agent {
namespace {

namespace results = datasets::results;

constexpr char kSegmentationStorage[] = "1.2.840.10008.5.1.4.1.1.66.4";

results::ResultName NameOf(results::ResultKind kind, const results::ModelDescription& model,
                           const ResultSet& set) {
  return set.instances ? results::NameOf(kind, model.id, set.source, *set.instances)
                       : results::NameOf(kind, model.id, set.source);
}

fs::path FolderOf(const fs::path& out, const results::ModelDescription& model,
                  const ResultSet& set) {
  const std::string about = set.instances ? set.instances->Hex() : set.source.sop_instance_uid;
  const std::string name = crypto::Sha256(AsBytes(StrCat(model.id.Hex(), " ", about))).Hex();
  return out / name.substr(0, 2) / name;
}

}  // namespace

absl::StatusOr<WrittenResults> WriteResults(const fs::path& out,
                                            const results::ModelDescription& model, ResultSet set,
                                            Time now) {
  WrittenResults written{FolderOf(out, model, set)};
  RETURN_IF_ERROR(EnsureFolder(written.folder));
  if (set.segmentation) {
    const auto name = NameOf(results::ResultKind::kSegmentation, model, set);
    const bool binary = set.segmentation->kind == results::SegmentationKind::kBinary;
    RETURN_IF_ERROR(results::WriteSegmentation(
        written.folder / (binary ? "segmentation.dcm" : "activation.dcm"), set.source, model, name,
        *set.segmentation, now));
    set.report.segmentation =
        results::FrameReference{kSegmentationStorage, name.sop_instance_uid, 0};
    ++written.files;
  }
  if (set.picture) {
    RETURN_IF_ERROR(results::WriteSecondaryCapture(
        written.folder / "picture.dcm", set.source, model,
        NameOf(results::ResultKind::kPicture, model, set), *set.picture, set.pictured, now));
    ++written.files;
  }
  RETURN_IF_ERROR(results::WriteReport(written.folder / "report.dcm", set.source, model,
                                       NameOf(results::ResultKind::kReport, model, set), set.report,
                                       now));
  ++written.files;
  return written;
}

}  // namespace consilium::site_agent
