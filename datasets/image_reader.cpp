#include "datasets/image_reader.h"

#include "datasets/dicom/reader.h"
#include "datasets/pipeline/pipeline.h"
#include "datasets/targets/image_mask.h"
#include "datasets/targets/volume_mask.h"
#include "datasets/volumes/input.h"

namespace consilium::datasets {
namespace {

class ThisProcess final : public ImageReader {
 public:
  std::vector<OrRefused<dicom::Header>> ReadHeaders(std::span<const fs::path> paths) override {
    std::vector<OrRefused<dicom::Header>> headers;
    for (const fs::path& path : paths) headers.push_back(dicom::ReadHeader(path));
    return headers;
  }

  OrRefused<std::vector<float>> ReadInput(const fs::path& path,
                                          const plan::Preprocessing& preprocessing) override {
    auto file = dicom::ImageFile::Open(path);
    if (!file.ok()) return file.refused();
    return pipeline::MakeInput(*file, preprocessing);
  }

  std::vector<OrRefused<OutlinesContent>> ReadOutlines(std::span<const fs::path> paths) override {
    std::vector<OrRefused<OutlinesContent>> contents;
    for (const fs::path& path : paths) contents.push_back(ContentOf(path));
    return contents;
  }

  OrRefused<PlacedMask> ReadMask(std::span<const fs::path> files,
                                 const std::vector<std::string>& structures,
                                 const plan::Preprocessing& preprocessing) override {
    auto image = dicom::ImageFile::Open(files.front());
    if (!image.ok()) return image.refused();
    std::vector<targets::Outlines> outlines;
    for (const fs::path& path : files.subspan(1)) {
      auto one = targets::Outlines::Open(path);
      if (!one.ok()) return one.refused();
      outlines.push_back(*std::move(one));
    }
    return targets::ReadPlacedMask(*image, outlines, structures, preprocessing);
  }

  OrRefused<std::vector<float>> ReadVolume(std::span<const fs::path> files,
                                           const plan::Preprocessing& preprocessing) override {
    const auto reader = volumes::ReadInstancesInThisProcess();
    const auto placed = volumes::Place(*reader, files, preprocessing);
    if (!placed.ok()) return placed.refused();
    return volumes::MakeInput(*placed, preprocessing);
  }

  OrRefused<PlacedMask> ReadVolumeMask(std::span<const fs::path> files,
                                       std::span<const fs::path> outlines,
                                       const std::vector<std::string>& structures,
                                       const plan::Preprocessing& preprocessing) override {
    const auto reader = volumes::ReadInstancesInThisProcess();
    const auto placed = volumes::Place(*reader, files, preprocessing);
    if (!placed.ok()) return placed.refused();
    return targets::MakeMask(*placed, outlines, structures, targets::ReadOutlinesInThisProcess());
  }

  OrRefused<audio::Recording> ReadRecording(const fs::path& path,
                                            const std::optional<plan::Audio>& audio) override {
    return audio::ReadRecording(path, audio);
  }

 private:
  static OrRefused<OutlinesContent> ContentOf(const fs::path& path) {
    const auto outlines = targets::Outlines::Open(path);
    if (!outlines.ok()) return outlines.refused();
    OutlinesContent content{outlines->referenced_instances(), {}};
    for (const auto& structure : outlines->structures()) content.labels.push_back(structure.label);
    return content;
  }
};

}  // namespace

std::unique_ptr<ImageReader> ReadInThisProcess() { return std::make_unique<ThisProcess>(); }

}  // namespace consilium::datasets
